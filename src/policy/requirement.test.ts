import assert from 'node:assert/strict'
import test from 'node:test'
import { pathText } from './problem.ts'
import {
  compileRequirement,
  metUntilMs,
  requirementCanonical,
  requirementSchema,
  type RequirementDocument,
  type Standing,
} from './requirement.ts'
import type { Requirement } from './types.ts'

const NAMES = ['a', 'b', 'c'].map((name) => ({ name, isStatic: false }))
const STATIC = [...NAMES, { name: 'fixed', isStatic: true }]

function compiled(
  document: RequirementDocument | undefined,
  authorities = NAMES,
): { requirement: Requirement; problems: readonly string[] } {
  const problems: string[] = []
  const requirement = compileRequirement(document, authorities, ['require'], (path, message) => {
    problems.push(`${pathText(path)}: ${message}`)
    return undefined
  })
  return { requirement, problems }
}

const leaf = (name: string): Requirement => ({ kind: 'authority', name })

test('without a document any one authority is enough', () => {
  assert.deepEqual(compiled(undefined).requirement, { kind: 'any', of: [leaf('a'), leaf('b'), leaf('c')] })
})

test('a threshold counts all authorities of the policy unless it names them', () => {
  assert.deepEqual(compiled({ threshold: 2 }).requirement, {
    kind: 'threshold',
    count: 2,
    of: ['a', 'b', 'c'],
  })
  const nested = compiled({ all: ['a', { threshold: 1, of: ['b', 'c'] }] })
  assert.deepEqual(nested.problems, [])
  assert.deepEqual(nested.requirement, {
    kind: 'all',
    of: [leaf('a'), { kind: 'threshold', count: 1, of: ['b', 'c'] }],
  })
})

const nestedAny = (depth: number): RequirementDocument => ({
  any: depth === 1 ? ['a', 'b', 'c'] : [nestedAny(depth - 1)],
})

const FAULTS: readonly (readonly [name: string, RequirementDocument, problem: RegExp, typeof NAMES?])[] = [
  ['a name that is none', { any: ['a', 'b', 'd'] }, /^require\.any\[2\]: found "d", expected .*: a, b, c$/],
  ['an authority that it forgets', { any: ['a', { all: ['a', 'c'] }] }, /^require: found nothing about b,/],
  ['more than there are', { threshold: 4 }, /^require\.threshold: found 4, expected at most 3/],
  [
    'one that is counted twice',
    { threshold: 2, of: ['a', 'b', 'a'] },
    /^require\.of\[2\]: found "a" twice, expected each once$/,
  ],
  [
    'a threshold in a tree that counts nobody',
    { any: ['a', 'b', 'c', { threshold: 1 }] },
    /^require\.any\[3\]: found a threshold without of/,
  ],
  [
    'a static authority that is counted',
    { threshold: 1 },
    /^require\.of\[3\]: found "fixed".*static/,
    STATIC,
  ],
  ['five levels', nestedAny(5), /found more than 4 levels of any and all/],
]

for (const [name, document, problem, authorities] of FAULTS) {
  test(`require: ${name} is refused`, () => {
    const { problems } = compiled(document, authorities)
    assert.equal(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', problem)
  })
}

test('four levels of any and all are enough', () => {
  assert.deepEqual(compiled(nestedAny(4)).problems, [])
})

const MALFORMED = [
  {},
  { any: [] },
  { any: ['a'], all: ['b'] },
  { any: ['a'], of: ['b'] },
  { threshold: 0 },
  { threshold: 1.5 },
  { threshold: 1, of: [] },
  { any: [{}] },
  { any: Array.from({ length: 65 }, () => 'a') },
  ['a'],
  'a',
]

for (const document of MALFORMED) {
  const text = JSON.stringify(document)
  test(`require: ${text.slice(0, 40)} is malformed`, () => {
    assert.equal(requirementSchema.safeParse(document).success, false)
  })
}

/** Authority -> by whom it is satisfied, and until when. */
function standing(table: Readonly<Record<string, Readonly<Record<string, number>>>>): Standing {
  return {
    untilMs: (name) => Math.max(-Infinity, ...Object.values(table[name] ?? {})),
    signersOf: (name) => new Map(Object.entries(table[name] ?? {})),
  }
}

const TABLE = { a: { x: 10 }, b: { y: 20 }, c: {}, d: { x: Infinity } }

const MET: readonly (readonly [RequirementDocument, untilMs: number])[] = [
  [{ any: ['a'] }, 10],
  [{ any: ['a', 'b', 'c'] }, 20],
  [{ any: ['c'] }, -Infinity],
  [{ all: ['a', 'b'] }, 10],
  [{ all: ['a', 'b', 'c'] }, -Infinity],
  [{ all: ['b', { any: ['a', 'd'] }] }, 20],
  [{ any: ['d', { all: ['a', 'b'] }] }, Infinity],
  [{ threshold: 1, of: ['a', 'd'] }, Infinity],
  [{ threshold: 2, of: ['a', 'd'] }, -Infinity],
  [{ threshold: 2, of: ['a', 'b', 'c', 'd'] }, 20],
  [{ threshold: 3, of: ['a', 'b', 'c', 'd'] }, -Infinity],
]

for (const [document, untilMs] of MET) {
  test(`require: ${JSON.stringify(document)} is met until ${untilMs}`, () => {
    const authorities = [...NAMES, { name: 'd', isStatic: false }]
    assert.equal(metUntilMs(compiled(document, authorities).requirement, standing(TABLE)), untilMs)
  })
}

/** Two ways to say one thing, and then one that says another. */
const FORMS: readonly (readonly [RequirementDocument, RequirementDocument, RequirementDocument])[] = [
  [{ any: ['a', 'b', 'c'] }, { any: ['c', 'a', 'b'] }, { all: ['a', 'b', 'c'] }],
  [{ any: ['a', 'a'] }, { all: [{ any: ['a'] }] }, { any: ['b'] }],
  [{ threshold: 2 }, { threshold: 2, of: ['c', 'b', 'a'] }, { threshold: 1 }],
]

for (const [one, same, other] of FORMS) {
  test(`require: ${JSON.stringify(one)} means ${JSON.stringify(same)} and not ${JSON.stringify(other)}`, () => {
    const [form, again, another] = [one, same, other].map((document) =>
      requirementCanonical(compiled(document).requirement, (name) => name),
    )
    assert.equal(form, again)
    assert.notEqual(form, another)
  })
}
