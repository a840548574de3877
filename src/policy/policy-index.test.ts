import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileGlob, type Glob } from './glob.ts'
import { indexPolicies, policiesFor, revocationsFor, type IndexedPolicySet } from './policy-index.ts'
import { revocation } from './testing/revocations.ts'
import type { Policy } from './types.ts'

function globOf(source: string): Glob {
  const result = compileGlob(source)
  return result.ok ? result.glob : assert.fail(result.message)
}

/** A policy, and a revocation, for each list of globs, by its place in the list. */
function indexed(groups: readonly (readonly string[])[]): IndexedPolicySet {
  const globs = groups.map((sources) => sources.map(globOf))
  const names = globs.map((own, position) => {
    const name = String(position).padStart(5, '0')
    return { name, matches: (repository: string) => own.some((glob) => glob.matches(repository)) }
  })
  const policies = names.map((one): Policy => ({
    ...one,
    version: '',
    mode: 'enforce',
    modes: { fallback: 'enforce', byRing: new Map() },
    stance: 'closed',
    runbook: undefined,
    rollout: undefined,
    authorities: [],
    requirement: { kind: 'any', of: [] },
    origin: 'a:1',
  }))
  const revocations = names.map((one) => ({ ...revocation([]), ...one }))
  const set = { version: '', policies, revocations, unmatched: 'off' } as const
  return indexPolicies(set, { policies: globs, revocations: globs })
}

function found(set: IndexedPolicySet, repository: string): readonly number[] {
  const names = policiesFor(set, repository).map(({ name }) => Number(name))
  assert.deepEqual(
    revocationsFor(set, repository).map(({ name }) => Number(name)),
    names,
  )
  return names
}

const SET = [
  ['ghcr.io/acme/app-1'],
  ['ghcr.io/acme/app-10', 'ghcr.io/acme/app-1'],
  ['ghcr.io/acme/app-*'],
  ['ghcr.io/acme/**'],
  ['ghcr.io/**'],
  ['**'],
  ['*/acme/app-1'],
  ['nginx'],
  ['docker.io/library/*'],
  ['index.docker.*/library/nginx'],
  ['ghcr.io/*/app-1', 'quay.io/acme/*'],
]

const CASES: readonly (readonly [repository: string, policies: readonly number[]])[] = [
  ['ghcr.io/acme/app-1', [0, 1, 2, 3, 4, 5, 6, 10]],
  ['ghcr.io/acme/app-10', [1, 2, 3, 4, 5]],
  ['ghcr.io/acme/app', [3, 4, 5]],
  ['ghcr.io/acme/team/app-1', [3, 4, 5]],
  ['ghcr.io/acm', [4, 5]],
  ['quay.io/acme/app-1', [5, 6, 10]],
  ['docker.io/library/nginx', [5, 7, 8, 9]],
  ['localhost:5000/a', [5]],
]

for (const [repository, policies] of CASES) {
  test(`finds all that match ${repository}, once and by name`, () => {
    assert.deepEqual(found(indexed(SET), repository), policies)
  })
}

test('finds whatever a scan of all would find', () => {
  const word = fc.constantFrom(
    'ghcr.io',
    'docker.io',
    'acme',
    'library',
    'app',
    'app-1',
    '*',
    '**',
    'a*',
    '*p',
  )
  const glob = fc
    .array(word, { minLength: 1, maxLength: 4 })
    .map((words) => words.join('/'))
    .filter((source) => compileGlob(source).ok)
  const name = fc
    .tuple(
      fc.constantFrom('ghcr.io', 'docker.io'),
      fc.array(fc.constantFrom('acme', 'library', 'app', 'app-1'), { minLength: 1, maxLength: 3 }),
    )
    .map(([registry, path]) => [registry, ...path].join('/'))
  fc.assert(
    fc.property(
      fc.array(fc.array(glob, { minLength: 1, maxLength: 3 }), { maxLength: 12 }),
      name,
      (groups, repository) => {
        const set = indexed(groups)
        const all = set.policies.flatMap((policy, position) => (policy.matches(repository) ? [position] : []))
        assert.deepEqual(found(set, repository), all)
      },
    ),
  )
})

test('of 10,000 names in one organisation looks at few', () => {
  const globs = Array.from(
    { length: 10_000 },
    (_, index) => `ghcr.io/acme/app-${String(index).padStart(4, '0')}`,
  )
  const set = indexed([...globs.map((glob) => [glob]), ['ghcr.io/acme/team-7/**'], ['ghcr.io/acme/**']])
  assert.deepEqual(found(set, 'ghcr.io/acme/app-0042'), [42, 10_001])
  assert.deepEqual(found(set, 'ghcr.io/acme/team-7/a/b'), [10_000, 10_001])
  const { byLiteral, lengths } = set.policyGlobs
  assert.ok(lengths.length <= 3)
  assert.ok([...byLiteral.values()].every((entries) => entries.length === 1))
})
