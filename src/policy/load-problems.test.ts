import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { loadPolicies, type PolicySources } from './load.ts'
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

function problems(text: string, changes: Partial<PolicySources> = {}): readonly string[] {
  const result = loadPolicies(sources(text, changes))
  assert.ok(!result.ok, 'expected problems')
  return result.problems.map(problemText)
}

/** What is replaced by what in the document above, and what is said about it. */
const FAULTS: readonly (readonly [name: string, from: string, to: string, problem: RegExp])[] = [
  [
    'an unknown field',
    '  mode: enforce',
    '  mod: enforce',
    /^acme\.yaml:6: spec\.mod: unknown key, did you mean mode\?$/,
  ],
  [
    'an unknown field deep down',
    '            subject:',
    '            subjekt: x\n            subject:',
    /authorities\[0\]\.keyless\.identities\[0\]\.subjekt: unknown key, did you mean subject\?/,
  ],
  [
    'another kind',
    'kind: ImagePolicy',
    'kind: ClusterImagePolicy',
    /:2: kind: found "ClusterImagePolicy", expected ImagePolicy/,
  ],
  ['another version', 'v1alpha1', 'v2', /:1: apiVersion: .*expected portcullis\.dev\/v1alpha1/],
  [
    'a mode that is none',
    'mode: enforce',
    'mode: warn',
    /:6: spec\.mode: found "warn", expected off or observe or enforce/,
  ],
  ['a name with capitals', 'name: acme', 'name: Acme', /:4: metadata\.name: .*lower case/],
  ['a reserved name', 'name: acme', 'name: unmatched', /expected another name/],
  [
    'a runbook that is no link',
    'https://wiki.example/acme',
    'javascript:alert(1)',
    /:7: spec\.runbook: .*http or https/,
  ],
  ['no images', '    - glob: ghcr.io/acme/**\n', '    []\n', /spec\.images: .*at least 1 entries/],
  [
    'a tag in a glob',
    'ghcr.io/acme/**',
    'ghcr.io/acme/app:v1',
    /:9: spec\.images\[0\]\.glob: .*verdicts are by digest/,
  ],
  [
    'no authorities',
    POLICY.slice(POLICY.indexOf('  authorities:')),
    '  authorities: []\n',
    /spec\.authorities: .*at least 1 entries/,
  ],
  [
    'an authority that is nobody',
    POLICY.slice(POLICY.indexOf('      keyless:'), POLICY.indexOf('    - name: ops')),
    '',
    /authorities\[0\]: found none, expected exactly one of keyless, key/,
  ],
  [
    'an authority that is both',
    '    - name: ops\n',
    '      key: { file: keys/ops.pub }\n    - name: ops\n',
    /found keyless and key, expected exactly one/,
  ],
  [
    'no identities',
    POLICY.slice(POLICY.indexOf('        identities:'), POLICY.indexOf('      attestations:')),
    '        identities: []\n',
    /identities: .*at least 1 entries/,
  ],
  [
    'keyless without identities',
    POLICY.slice(POLICY.indexOf('        identities:'), POLICY.indexOf('      attestations:')),
    '        trustRoot: internal\n',
    /keyless: found nothing that says who may sign, expected identities/,
  ],
  [
    'an identity without a subject',
    '            subject: release@acme.example\n',
    '',
    /identities\[0\]: found nothing that says who signed, expected subject, subjectPattern or one of the extensions/,
  ],
  [
    'an identity without an issuer',
    'issuer: https://issuer.example\n            ',
    '',
    /found none, expected exactly one of issuer, issuerPattern/,
  ],
  [
    'two subjects',
    '            subject:',
    '            subjectPattern: a@acme\\.example\n            subject:',
    /found subject and subjectPattern, expected only one of them/,
  ],
  ['an empty subject', 'release@acme.example', '""', /subject: found "", expected some text/],
  [
    'a subject of anybody',
    'subject: release@acme.example',
    'subjectPattern: .*',
    /:15: .*subjectPattern: the pattern also accepts https:/,
  ],
  [
    'an issuer of anybody',
    'issuer: https://issuer.example',
    'issuerPattern: https://.*',
    /:14: .*issuerPattern: the pattern also accepts/,
  ],
  [
    'a pattern that does not compile',
    'subject: release@acme.example',
    'subjectPattern: "a("',
    /found no RE2 pattern/,
  ],
  [
    'a trust root that is none',
    '      keyless:\n',
    '      keyless:\n        trustRoot: other\n',
    /trustRoot: found "other", expected a trust root of the configuration: public-good, internal/,
  ],
  [
    'an empty list of attestations',
    POLICY.slice(POLICY.indexOf('      attestations:'), POLICY.indexOf('    - name: ops')),
    '      attestations: []\n',
    /attestations: .*at least 1 entries/,
  ],
  [
    'a predicate type that is none',
    'slsaprovenance1',
    'provenance',
    /:18: .*predicateType: .*expected a URI or one of custom, /,
  ],
  [
    'two authorities of a name',
    'name: ops',
    'name: release',
    /:19: .*authorities\[1\]\.name: found "release" twice/,
  ],
  [
    'no key',
    '        file: keys/ops.pub\n',
    '',
    /key: found none, expected exactly one of data, file, kms, keySet/,
  ],
  [
    'two keys at once',
    'file: keys/ops.pub',
    'file: keys/ops.pub\n        kms: awskms:///alias/ops',
    /key: found file and kms, expected exactly one of/,
  ],
  [
    'a key of another KMS',
    'file: keys/ops.pub',
    'kms: gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k',
    /:21: .*key\.kms: found gcpkms:.*cosign public-key/,
  ],
  [
    'a key set that is none',
    'file: keys/ops.pub',
    'keySet: other',
    /:21: .*key\.keySet: found "other", expected a key set of the configuration .*: release-keys/,
  ],
  [
    'a hash algorithm of a key that says its own',
    'file: keys/ops.pub',
    'kms: awskms:///alias/ops\n        hashAlgorithm: sha512',
    /key\.hashAlgorithm: found hashAlgorithm, which has no effect here/,
  ],
  [
    'a padding of a key set',
    'file: keys/ops.pub',
    'keySet: release-keys\n        padding: pss',
    /key\.padding: found padding, which has no effect here/,
  ],
  [
    'a stance that is none',
    '  mode: enforce',
    '  stance: shut\n  mode: enforce',
    /:6: spec\.stance: found "shut", expected closed or last-verified or open/,
  ],
  ['a key file that is missing', 'keys/ops.pub', 'keys/other.pub', /:21: .*file: found no such file/],
  [
    'a trust root without effect',
    'transparencyLog: required',
    'trustRoot: internal',
    /:22: .*trustRoot, which has no effect here/,
  ],
  [
    'a log of no trust root',
    'transparencyLog: required',
    'transparencyLog: required\n        trustRoot: other',
    /trustRoot: found "other"/,
  ],
  ['a duplicate key', '  mode: enforce', '  mode: enforce\n  mode: off', /:7: Map keys must be unique/],
  [
    'a merge key, which YAML 1.2 has not',
    '  mode: enforce',
    '  <<: { mode: enforce }',
    /spec\.<<: unknown key/,
  ],
  ['a tag of its own', 'mode: enforce', 'mode: !secret enforce', /:6: Unresolved tag/],
  ['a document that is a list', POLICY, '- a\n', /found a list, expected a mapping/],
  ['broken YAML', 'metadata:', 'metadata: [', /^acme\.yaml:\d+: /],
]

for (const [name, from, to, problem] of FAULTS) {
  test(`does not load: ${name}`, () => {
    assert.ok(POLICY.includes(from), 'the fault is applied')
    assert.match(problems(POLICY.replace(from, () => to)).join('\n'), problem)
  })
}

test('all that is wrong is told at once, across documents and files', () => {
  const wrong = POLICY.replace('  mode: enforce', '  mode: warn').replace('keyless:', 'keyles:')
  const files = [
    { path: 'a.yaml', text: wrong },
    { path: 'b.yaml', text: `${POLICY}---\n${POLICY.replace('release@acme.example', '"*"')}` },
  ]
  const told = problems('', { files })
  assert.equal(told.filter((line) => line.startsWith('a.yaml:')).length, 3, told.join('\n'))
  assert.equal(told.filter((line) => line.startsWith('b.yaml:')).length, 1, told.join('\n'))
})

test('two policies of one name do not load', () => {
  const files = [
    { path: 'a.yaml', text: POLICY },
    { path: 'b.yaml', text: POLICY },
  ]
  assert.deepEqual(problems('', { files }), [
    'b.yaml:4: metadata.name: found "acme", which a.yaml:4 already is; names are unique',
  ])
})

test('one key may have two signature schemes: each policy counts by its own', () => {
  const pem = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()
  const other = POLICY.replace('name: acme', 'name: two').replace(
    'file: keys/ops.pub',
    'file: keys/ops.pub\n        padding: pss',
  )
  const files = [{ path: 'acme.yaml', text: `${POLICY}---\n${other}` }]
  const keyFiles = new Map([['keys/ops.pub', pem]])
  const loaded = loadPolicies(sources('', { files, keyFiles }))
  assert.deepEqual(loaded.ok && loaded.set.policies.map(({ name }) => name), ['acme', 'two'])
})

test('aliases cannot blow a document up', () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    'b: &b [*a,*a,*a,*a,*a,*a,*a,*a]',
    'c: &c [*b,*b,*b,*b,*b,*b,*b,*b]',
    'd: [*c,*c,*c,*c]',
  ]
  assert.match(problems(bomb.join('\n')).join(), /alias/i)
})

test('__proto__ is a field that nobody knows', () => {
  assert.match(problems(POLICY.replace('  mode: enforce', '  __proto__: { mode: off }')).join(), /__proto__/)
})
