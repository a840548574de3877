import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { loadPolicies, type PolicyLoad } from './load.ts'
import { problemText } from './problem.ts'
import { DIGEST } from './testing/revocations.ts'

const DENIAL = `digest: ${DIGEST}`

const SMALL = `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata:
  name: incident-7
spec:
  reason: a base image with a backdoor
  deny:
    - ${DENIAL}
`

function load(text: string, more: Readonly<Record<string, string>> = {}): PolicyLoad {
  const files = Object.entries({ 'incident.yaml': text, ...more }).map(([path, one]) => ({ path, text: one }))
  return loadPolicies({
    files,
    keyFiles: new Map([['lost.pub', 'none that is needed']]),
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(['release']),
    rings: new Set(['default', 'canary']),
    defaultMode: 'off',
    unmatched: 'observe',
    defaultStance: 'open',
    stanceLimit: undefined,
  })
}

type Fault = readonly [name: string, from: string, to: string, problem: RegExp]

const FAULTS: readonly Fault[] = [
  [
    'no reason',
    '  reason: a base image with a backdoor\n',
    '',
    /spec\.reason: found nothing, expected a string/,
  ],
  [
    'an empty reason',
    'reason: a base image with a backdoor',
    'reason: " "',
    /spec\.reason: .*expected some text/,
  ],
  [
    'a reason of two lines',
    'reason: a base image with a backdoor',
    'reason: "a\\nb"',
    /one line of printable ASCII/,
  ],
  ['a reason like a book', 'a base image with a backdoor', 'x'.repeat(121), /at most 120 characters/],
  ["a policy's field", '  deny:', '  stance: open\n  deny:', /spec\.stance: unknown key/],
  ['nothing that is denied', `    - ${DENIAL}\n`, '    []\n', /spec\.deny: .*at least 1 entries/],
  [
    'an empty denial',
    `- ${DENIAL}`,
    '- {}',
    /deny\[0\]: found none, expected exactly one of digest, identity, key, builder/,
  ],
  [
    'two denials in one',
    DENIAL,
    `${DENIAL}\n      builder: x`,
    /found digest and builder, expected exactly one/,
  ],
  ['no digest', DENIAL, 'digest: latest', /:8: spec\.deny\[0\]\.digest: .*sha256: and 64 hex digits/],
  [
    'a digest that revocations do not go by',
    DENIAL,
    `digest: sha512:${'a'.repeat(128)}`,
    /sha256: and 64 hex digits/,
  ],
  [
    'a window for a digest',
    DENIAL,
    `${DENIAL}\n      signedFrom: 2026-11-17`,
    /signedFrom, which has no effect on a digest/,
  ],
  [
    'a root for a key without a window',
    DENIAL,
    'key: { file: lost.pub }\n      trustRoot: internal',
    /without signedFrom or signedUntil/,
  ],
  ['an empty identity', DENIAL, 'identity: {}', /deny\[0\]\.identity: found nothing that says who signed/],
  [
    'an identity of empty extensions',
    DENIAL,
    'identity: { extensions: {} }',
    /found nothing that says who signed/,
  ],
  [
    'two subjects',
    DENIAL,
    'identity: { subject: a@b.c, subjectPattern: a.* }',
    /found subject and subjectPattern/,
  ],
  [
    'a pattern that is none',
    DENIAL,
    'identity: { subjectPattern: "(" }',
    /subjectPattern: found no RE2 pattern/,
  ],
  ['a subject that looks like a pattern', DENIAL, 'identity: { subject: "https://*" }', /use subjectPattern/],
  [
    'an unknown extension',
    DENIAL,
    'identity: { extensions: { sourceRepoURI: x } }',
    /sourceRepoURI: unknown key/,
  ],
  [
    'an unknown trust root',
    DENIAL,
    'identity: { subject: a@b.c }\n      trustRoot: intern',
    /:9: .*expected a trust root of the configuration/,
  ],
  [
    'an unknown trust root of a window',
    DENIAL,
    'builder: x\n      trustRoot: intern\n      signedFrom: 2026-11-17',
    /expected a trust root/,
  ],
  ['no key', DENIAL, 'key: {}', /key: found none, expected exactly one of id, data, file/],
  ['a key id that is none', DENIAL, 'key: { id: abc }', /key\.id: .*sha256: and 64 hex digits/],
  ['a key file that is not there', DENIAL, 'key: { file: gone.pub }', /key\.file: found no such file/],
  ['a key that is none', DENIAL, 'key: { data: hello }', /key\.data: found no PEM block/],
  [
    'a window without an inside',
    DENIAL,
    'builder: x\n      signedFrom: 2026-11-18\n      signedUntil: 2026-11-18',
    /no time between/,
  ],
  [
    'a time that is none',
    DENIAL,
    'builder: x\n      signedFrom: tuesday',
    /signedFrom: .*expected a date such as/,
  ],
  [
    'an unknown ring',
    '  deny:',
    '  rings: { canari: off }\n  deny:',
    /:7: spec\.rings\.canari: found "canari", expected a ring/,
  ],
  ['a mode that is none', '  deny:', '  mode: block\n  deny:', /spec\.mode: .*off or observe or enforce/],
  ['a glob with a tag', '  deny:', '  images: [{ glob: "nginx:1" }]\n  deny:', /verdicts are by digest/],
  ['no image', '  deny:', '  images: []\n  deny:', /spec\.images: .*at least 1 entries/],
  ['another version', 'v1alpha1', 'v2', /apiVersion: .*expected portcullis\.dev\/v1alpha1/],
  [
    'an unknown kind',
    'kind: Revocation',
    'kind: Revocations',
    /:2: kind: found "Revocations", expected ImagePolicy or Revocation/,
  ],
  ['the name of the rule for images without a policy', 'incident-7', 'unmatched', /expected another name/],
]

suite('a document that does not load, and nothing beside it does', () => {
  for (const [name, from, to, problem] of FAULTS) {
    test(name, () => {
      assert.ok(SMALL.includes(from), 'the change is one')
      const result = load(SMALL.replace(from, () => to))
      assert.ok(!result.ok)
      assert.match(result.problems.map(problemText).join('\n'), problem)
    })
  }

  test('a name that a policy has', () => {
    const policy = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: incident-7 }
spec:
  images: [{ glob: nginx }]
  authorities: [{ name: ops, key: { keySet: release } }]
`
    const result = load(SMALL, { 'policy.yaml': policy })
    assert.ok(!result.ok)
    const [problem] = result.problems.map(problemText)
    assert.match(problem ?? '', /^policy\.yaml:3: .*found "incident-7", which incident\.yaml:4 already is/)
  })

  test('a TrustRoot of policy-controller says how to bring it over', () => {
    const result = load('apiVersion: policy.sigstore.dev/v1alpha1\nkind: TrustRoot\n')
    assert.match(
      result.ok ? '' : problemText(result.problems[0] ?? assert.fail()),
      /portcullis policy import/,
    )
  })
})
