import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { loadPolicies, type PolicySources } from './load.ts'
import { policiesFor, type IndexedPolicySet } from './policy-index.ts'
import { problemText } from './problem.ts'

const KEY = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()

const POLICY = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: acme
spec:
  mode: enforce
  runbook: https://wiki.example/acme
  images:
    - glob: ghcr.io/acme/**
  authorities:
    - name: release
      keyless:
        identities:
          - issuer: https://issuer.example
            subject: release@acme.example
      attestations:
        - name: provenance
          predicateType: slsaprovenance1
    - name: ops
      key:
        file: keys/ops.pub
        transparencyLog: required
`

function sources(text: string, changes: Partial<PolicySources> = {}): PolicySources {
  return {
    files: [{ path: 'acme.yaml', text }],
    keyFiles: new Map([['keys/ops.pub', KEY]]),
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(['release-keys']),
    rings: new Set(['default', 'canary']),
    defaultMode: 'observe',
    unmatched: 'observe',
    defaultStance: 'closed',
    stanceLimit: undefined,
    ...changes,
  }
}

function load(text: string, changes: Partial<PolicySources> = {}): IndexedPolicySet {
  const result = loadPolicies(sources(text, changes))
  assert.ok(result.ok, result.ok ? '' : result.problems.map(problemText).join('\n'))
  return result.set
}

function problems(text: string, changes: Partial<PolicySources> = {}): readonly string[] {
  const result = loadPolicies(sources(text, changes))
  assert.ok(!result.ok, 'expected problems')
  return result.problems.map(problemText)
}

test('a policy document becomes a policy', () => {
  const { policies, unmatched } = load(POLICY)
  assert.equal(unmatched, 'observe')
  const [policy] = policies
  assert.ok(policy)
  assert.deepEqual(
    [policy.name, policy.mode, policy.runbook, policy.origin],
    ['acme', 'enforce', 'https://wiki.example/acme', 'acme.yaml:4'],
  )
  const [release, ops] = policy.authorities
  assert.deepEqual(release?.attestations, [
    { name: 'provenance', predicateType: 'https://slsa.dev/provenance/v1', checks: [], maxAgeMs: undefined },
  ])
  assert.equal(release?.signer.kind === 'keyless' && release.signer.trustRoot, 'public-good')
  assert.equal(ops?.signer.kind === 'key' && ops.signer.transparencyLog, 'required')
})

test('a policy without a mode has the default one', () => {
  const text = POLICY.replace('  mode: enforce\n', '')
  assert.equal(load(text, { defaultMode: 'off' }).policies[0]?.mode, 'off')
})

/** policy's own, default, limit -> what counts */
const STANCES = [
  ['open', 'closed', undefined, 'open'],
  [undefined, 'last-verified', undefined, 'last-verified'],
  ['open', 'closed', 'last-verified', 'last-verified'],
  ['open', 'open', 'closed', 'closed'],
  ['closed', 'open', 'open', 'closed'],
  [undefined, 'open', 'last-verified', 'last-verified'],
] as const

for (const [own, defaultStance, stanceLimit, expected] of STANCES) {
  test(`stance ${own ?? 'not given'}, default ${defaultStance}, limit ${stanceLimit ?? 'none'}: ${expected}`, () => {
    const text = own === undefined ? POLICY : POLICY.replace('  mode:', `  stance: ${own}\n  mode:`)
    assert.equal(load(text, { defaultStance, stanceLimit }).policies[0]?.stance, expected)
  })
}

/** Changes of the document -> whether what satisfied it before may satisfy it no more. */
const VERSIONED: readonly (readonly [name: string, from: string, to: string, changes: boolean])[] = [
  ['the mode', 'mode: enforce', 'mode: observe', false],
  ['the stance', '  mode:', '  stance: open\n  mode:', false],
  ['the runbook', 'wiki.example/acme', 'wiki.example/other', false],
  ['the name', 'name: acme', 'name: other', false],
  ['the images', 'ghcr.io/acme/**', 'ghcr.io/**', false],
  ['the name of an authority', 'name: ops', 'name: operators', false],
  ['the name of an attestation', 'name: provenance', 'name: build', false],
  ['an identity', 'release@', 'other@', true],
  ['a predicate type', 'slsaprovenance1', 'slsaprovenance', true],
  ['whether a log is asked for', '        transparencyLog: required\n', '', true],
  ['a key', 'file: keys/ops.pub', 'kms: awskms:///alias/ops', true],
]

for (const [name, from, to, changes] of VERSIONED) {
  test(`the version of a policy ${changes ? 'changes' : 'does not change'} with ${name}`, () => {
    const [before] = load(POLICY).policies
    const [after] = load(POLICY.replace(from, () => to)).policies
    assert.ok(POLICY.includes(from), 'the change is one')
    assert.equal(before?.version === after?.version, !changes)
  })
}

test('key.file is relative to the policy file and stays below the directory', () => {
  const inTeam = { files: [{ path: 'team/acme.yaml', text: POLICY.replace('keys/ops', '../keys/ops') }] }
  assert.equal(load('', inTeam).policies.length, 1)
  assert.match(
    problems(POLICY.replace('keys/ops.pub', '../../etc/ops.pub')).join(),
    /no such file below the policies directory; there are keys\/ops\.pub/,
  )
})

test('several documents a file, in several files; empty ones are nothing', () => {
  const files = [
    { path: 'a.yaml', text: `${POLICY}---\n# nothing\n---\n${POLICY.replace('name: acme', 'name: two')}` },
    { path: 'b.yaml', text: POLICY.replace('name: acme', 'name: three') },
    { path: 'c.yaml', text: '# nothing at all\n' },
  ]
  assert.deepEqual(
    load('', { files }).policies.map(({ name }) => name),
    ['acme', 'three', 'two'],
  )
})

test('no documents are an empty set', () => {
  assert.deepEqual(load('').policies, [])
})

test('the index finds what a scan of all policies finds', () => {
  const globs = [
    'ghcr.io/acme/**',
    'ghcr.io/**',
    'nginx',
    '*',
    '**',
    'quay.io/a/b',
    '*.io/acme/*',
    'docker.io/acme/*',
  ]
  const files = globs.map((glob, index) => ({
    path: `${index}.yaml`,
    text: POLICY.replace('name: acme', `name: p${index}`).replace(
      'ghcr.io/acme/**',
      `'${glob}'\n    - glob: quay.io/shared/x`,
    ),
  }))
  const set = load('', { files })
  const names = [
    'ghcr.io/acme/app',
    'ghcr.io/x',
    'docker.io/library/nginx',
    'docker.io/acme/app',
    'quay.io/a/b',
    'quay.io/shared/x',
    'x.example/y',
  ]
  for (const name of names) {
    const scanned = set.policies.filter((policy) => policy.matches(name)).map((policy) => policy.name)
    assert.deepEqual(
      policiesFor(set, name).map((policy) => policy.name),
      scanned,
      name,
    )
  }
})

test('the version depends on meaning, not on order, comments or file names', () => {
  const two = POLICY.replace('name: acme', 'name: two')
  const version = load(`${POLICY}---\n${two}`).version
  const files = [
    { path: 'z.yaml', text: two },
    { path: 'y.yaml', text: `# a comment\n${POLICY}` },
  ]
  assert.equal(load('', { files }).version, version)
  assert.equal(load('', { files: files.toReversed() }).version, version)
  assert.match(version, /^sha256:[0-9a-f]{64}$/)
})
