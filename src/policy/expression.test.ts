import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { about, compileExpression, CUSTOM, judgeExpression } from '../testing/expressions.ts'
import {
  actionsSigner,
  attestedBy,
  GITHUB_V1,
  IMAGE,
  KEY_SIGNER,
  signedBy,
  TYPE,
} from '../testing/provenance.ts'
import { compileExpressions } from './expression.ts'

const PREDICATE = {
  decision: 'approved',
  reviewers: [{ name: 'ann', team: 'platform' }, { name: 'bo' }],
  score: 7,
  ratio: 0.5,
  ok: true,
  nothing: null,
  reviewedOn: '2026-05-01T10:00:00Z',
}

const TRUE = [
  'statement.predicate.decision == "approved"',
  'statement.predicate["decision"] == "approved"',
  'statement.predicateType == "https://acme.example/approved/v1"',
  'statement.predicate.ok',
  'statement.predicate.score > 5 && statement.predicate.score == 7',
  'statement.predicate.ratio < 1',
  'statement.predicate.decision in ["approved", "waived"]',
  '"decision" in statement.predicate',
  'statement.predicate.reviewers.exists(r, r.name == "bo")',
  'statement.predicate.reviewers.all(r, r.name.size() > 1)',
  'statement.predicate.reviewers.filter(r, has(r.team) && r.team == "platform").size() == 1',
  'statement.predicate.reviewers.map(r, r.name) == ["ann", "bo"]',
  'statement.predicate.reviewers.map(r, has(r.team), r.team) == ["platform"]',
  'statement.predicate.reviewers.exists_one(r, r.name == "ann")',
  'statement.predicate.reviewers[0].team == "platform"',
  'statement.predicate.decision.matches("^appr")',
  'statement.predicate.decision.startsWith("app") || statement.predicate.missing == 1',
  'has(statement.predicate.missing) ? statement.predicate.missing : true',
  '!has(statement.predicate.missing)',
  '!has(statement.predicate.nothing) && statement.predicate.nothing == null',
  'type(statement.predicate.decision) == string',
  'timestamp(statement.predicate.reviewedOn) > timestamp("2026-01-01T00:00:00Z")',
  'int("12") == 12 && string(12) == "12" && duration("1h") > duration("1m")',
  'signer.kind == "keyless" && signer.extensions.runnerEnvironment == "github-hosted"',
  'signer.issuer == "https://token.actions.githubusercontent.com"',
  'image.registry + "/" + image.name == "ghcr.io/acme/app" && image.digest.startsWith("sha256:")',
]

for (const expression of TRUE) {
  test(`true: ${expression}`, () => assert.equal(judgeExpression(expression, about(PREDICATE)), undefined))
}

/** Each would be true, or would hide behind what is, if a field that is missing were passed over. */
const MISSING: Readonly<Record<string, string>> = {
  'statement.predicate.foo == "x"': 'statement.predicate.foo',
  '!(statement.predicate.foo == "x")': 'statement.predicate.foo',
  'statement.predicate.foo != "x"': 'statement.predicate.foo',
  'statement.predicate.foo == "x" || true': 'statement.predicate.foo',
  '!(statement.predicate.foo == "x" && false)': 'statement.predicate.foo',
  '!!(statement.predicate.foo.bar || true)': 'statement.predicate.foo',
  'statement.predicate.foo ? true : true': 'statement.predicate.foo',
  'has(statement.predicate.foo.bar) || true': 'statement.predicate.foo',
  '!has(statement.predicate.foo.bar)': 'statement.predicate.foo',
  'statement.predicate["foo"] == 1 || true': 'statement.predicate["foo"]',
  'statement.predicate.reviewers[2].name == "x" || true': 'statement.predicate.reviewers[2]',
  'statement.predicate.reviewers[0].foo != "x"': 'statement.predicate.reviewers[0].foo',
  'statement.predicate.decision.foo != "x"': 'statement.predicate.decision.foo',
  'statement.predicate.reviewers.exists(r, r.team == "x" || true) && statement.predicate.foo != 1':
    'statement.predicate.foo',
  '!statement.predicate.reviewers.exists(r, r.team == "x")': 'r.team',
  'statement.predicate.reviewers.all(r, r.team != "x")': 'r.team',
  '!statement.predicate.reviewers.all(r, r.team == "platform")': 'r.team',
  '!statement.predicate.reviewers.exists_one(r, r.team == "x")': 'r.team',
  'statement.predicate.reviewers.map(r, r.team).size() < 9': 'r.team',
  'statement.predicate.reviewers.filter(r, r.team == "x").size() == 0': 'r.team',
  '[statement.predicate.foo].size() == 1': 'statement.predicate.foo',
  '{"a": statement.predicate.foo}.size() == 1': 'statement.predicate.foo',
  'statement.predicate.toString != 1': 'statement.predicate.toString',
  'statement.predicate.__proto__ != 1': 'statement.predicate.__proto__',
  'statement.predicate.constructor != 1': 'statement.predicate.constructor',
  'signer.key != "x"': 'signer.key',
  'signer.extensions.deploymentEnvironment != "x"': 'signer.extensions.deploymentEnvironment',
}

for (const [expression, field] of Object.entries(MISSING)) {
  test(`a missing field is named: ${expression}`, () => {
    assert.deepEqual(judgeExpression(expression, about(PREDICATE)), {
      found: `an attestation in which ${field} is missing`,
      expected: expression,
    })
  })
}

const REFUSED: Readonly<Record<string, readonly [expression: string, predicate: unknown, found: RegExp]>> = {
  'what is false': ['statement.predicate.score > 8', PREDICATE, /^an attestation for which .* is false$/],
  'what is neither true nor false': ['statement.predicate.decision', PREDICATE, /neither true nor false$/],
  'truth in other words': ['statement.predicate.ok', { ok: 'true' }, /neither true nor false$/],
  'a number for a truth value': ['!statement.predicate.ok', { ok: 0 }, /cannot be evaluated/],
  'a text for a truth value, hidden': ['statement.predicate.ok || true', { ok: 'x' }, /cannot be evaluated/],
  'a branch that is no truth value': ['true && statement.predicate.ok', { ok: 'x' }, /cannot be evaluated/],
  'a number that was rounded': [
    'statement.predicate.n == 9007199254740992',
    JSON.parse('{"n": 9007199254740993}'),
    /too large to be exact$/,
  ],
  'a number without end': ['statement.predicate.n > 1', JSON.parse('{"n": 1e999}'), /too large to be exact$/],
  'an empty text for a number': ['int(statement.predicate.n) < 5', { n: '' }, /is no int$/],
  'hexadecimal for a number': ['int(statement.predicate.n) < 50', { n: '0x10' }, /is no int$/],
  'a number of a million digits': ['int(statement.predicate.n) > 5', { n: '9'.repeat(1e6) }, /is no int$/],
  'a predicate that is not there': ['statement.predicate.a != 1', undefined, /cannot be evaluated|missing$/],
  'a text too long for a pattern': [
    '!statement.predicate.a.matches("x")',
    { a: 'a'.repeat(5000) },
    /more than 4096 characters$/,
  ],
  'an object that plays a protobuf message': [
    'statement.predicate.o == 5',
    { o: { $typeName: 'google.protobuf.Int32Value', value: 5 } },
    /is false$/,
  ],
}

for (const [name, [expression, predicate, found]] of Object.entries(REFUSED)) {
  test(`${name} does not pass`, () => {
    assert.match(judgeExpression(expression, about(predicate))?.found ?? 'passed', found)
  })
}

test('keys of a statement are keys, whatever JavaScript means by them', () => {
  const predicate: unknown = JSON.parse('{"__proto__": {"a": 1}, "constructor": {"name": "x"}}')
  assert.equal(judgeExpression('has(statement.predicate.__proto__)', about(predicate)), undefined)
  assert.equal(judgeExpression('statement.predicate.constructor.name == "x"', about(predicate)), undefined)
  assert.match(
    judgeExpression('statement.predicate.a == 1', about(predicate))?.found ?? '',
    /predicate\.a is missing$/,
  )
})

test('a plain signature has a signer and an image, and no statement', () => {
  const problems: string[] = []
  const [check] = compileExpressions(
    [{ expression: 'signer.kind == "key"' }, { expression: 'statement.predicateType != ""' }],
    undefined,
    [],
    (_, problem) => {
      problems.push(problem)
      return undefined
    },
  )
  assert.match(problems.join('\n'), /^found unknown variable statement, expected one of signer, image, at/)
  assert.equal(check?.check(signedBy(KEY_SIGNER), IMAGE), undefined)
  assert.equal(
    check?.check(signedBy(actionsSigner()), IMAGE)?.found,
    'a signature for which signer.kind == "key" is false',
  )
})

test('slsa is the provenance in its one shape; what it lacks is missing', () => {
  const provenance = attestedBy(actionsSigner(), TYPE.v1, GITHUB_V1)
  const expressions = [
    'slsa.sourceRepository == "https://github.com/acme/app" && slsa.sourceRef.startsWith("refs/tags/")',
    'slsa.materials.all(m, m.uri.startsWith("git+https://github.com/acme/") && has(m.digests.gitCommit))',
    'slsa.parameters.workflow.path == slsa.sourcePath',
    'slsa.sourceRepository == signer.extensions.sourceRepositoryURI',
  ]
  for (const expression of expressions)
    assert.equal(judgeExpression(expression, provenance, TYPE.v1), undefined)
  const empty = attestedBy(actionsSigner(), TYPE.v1, {})
  assert.equal(
    judgeExpression('slsa.builderId != "x"', empty, TYPE.v1)?.found,
    'an attestation in which slsa.builderId is missing',
  )
})

test('a message stands for what is expected; it is no part of what is demanded', () => {
  const [check] = compileExpression(
    'statement.predicate.ok',
    CUSTOM,
    'an approval by the platform team',
  ).checks
  assert.equal(check?.check(about({ ok: false }), IMAGE)?.expected, 'an approval by the platform team')
  assert.equal(check?.canonical, compileExpression('  statement.predicate.ok ').checks[0]?.canonical)
  assert.notEqual(check?.canonical, compileExpression('!statement.predicate.ok').checks[0]?.canonical)
})

test('no statement throws, or passes what it does not say', () => {
  const expressions = [
    'statement.predicate.decision == "approved by ann"',
    '!(statement.predicate.denied != false)',
    'statement.predicate.reviewers.exists(r, r.name == "ann of platform")',
    'statement.predicate.a == "ann of platform" || statement.predicate.b == "ann of platform"',
  ]
  const checks = expressions.flatMap((expression) => compileExpression(expression).checks)
  const names = fc.constantFrom('decision', 'denied', 'reviewers', 'a', 'b', 'name')
  const predicate = fc.oneof(fc.jsonValue(), fc.dictionary(names, fc.jsonValue()))
  fc.assert(
    fc.property(predicate, (value) => {
      for (const [index, one] of checks.entries()) {
        // The one thing that it may say by chance.
        if (index === 1 && JSON.stringify(value).includes('"denied":false')) continue
        assert.notEqual(one.check(about(value), IMAGE), undefined)
      }
    }),
  )
})
