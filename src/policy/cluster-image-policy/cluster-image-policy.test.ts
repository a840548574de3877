import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { clusterImagePolicy, convert, newPem, withAuthority } from '../../testing/foreign-policies.ts'
import { loadPolicies } from '../load.ts'
import { problemText } from '../problem.ts'

const P256 = newPem('P-256')
const P384 = newPem('P-384')
const ED25519 = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
const WHO = 'identities: [{issuer: https://i.example, subject: s}]'
const IDENTITIES = [{ issuer: 'https://i.example', subject: 's' }]
const ARN = 'arn:aws:kms:eu-west-1:111122223333:alias/release'

describe('what is converted', () => {
  const modes: readonly (readonly [string, string])[] = [
    ['', 'enforce'],
    ['mode: enforce, ', 'enforce'],
    ['mode: warn, ', 'observe'],
  ]
  for (const [written, mode] of modes) {
    it(`mode: ${written === '' ? 'none' : written}`, () => {
      const { specs } = convert(
        clusterImagePolicy(`{${written}images: [{glob: "**"}], authorities: [{static: {action: pass}}]}`),
      )
      assert.deepEqual(specs[0], {
        mode,
        images: [{ glob: '**' }],
        authorities: [{ name: 'authority-0', static: { action: 'pass' } }],
      })
    })
  }

  const keyless = (trustRoot: string, identities: unknown = IDENTITIES) => ({
    keyless: { trustRoot, identities },
  })
  const authorities: readonly (readonly [name: string, written: string, converted: object])[] = [
    ['an identity', `{keyless: {${WHO}}}`, keyless('public-good')],
    [
      'the public instance',
      `{keyless: {url: https://fulcio.sigstore.dev, ${WHO}}, ctlog: {url: https://rekor.sigstore.dev}}`,
      keyless('public-good'),
    ],
    [
      'regular expressions',
      '{keyless: {identities: [{issuerRegExp: "^https://i\\\\.example$", subjectRegExp: "acme/"}]}}',
      keyless('public-good', [{ issuerPattern: 'https://i\\.example', subjectPattern: '.*acme/.*' }]),
    ],
    [
      'anybody',
      '{keyless: {identities: [{issuerRegExp: .*, subjectRegExp: ".+"}]}}',
      { keyless: { trustRoot: 'public-good', unsafeAnyIdentity: true } },
    ],
    ['a trust root', `{keyless: {trustRootRef: own, ${WHO}}, ctlog: {trustRootRef: own}}`, keyless('own')],
    [
      'a bundle',
      `{keyless: {trustRootRef: own, ${WHO}}, signatureFormat: bundle, attestations: [{name: p, predicateType: "https://p.example"}]}`,
      { ...keyless('own'), attestations: [{ name: 'p', predicateType: 'https://p.example' }] },
    ],
    ['SCTs', `{keyless: {insecureIgnoreSCT: false, ${WHO}}}`, keyless('public-good')],
    ['a key', `{key: {data: ${JSON.stringify(P256)}}}`, { key: { data: P256 } }],
    ['a key without a log', `{key: {data: ${JSON.stringify(P256)}}, ctlog: {}}`, { key: { data: P256 } }],
    [
      'a logged key',
      `{key: {data: ${JSON.stringify(P256)}}, ctlog: {url: https://rekor.sigstore.dev}}`,
      { key: { data: P256, transparencyLog: 'required', trustRoot: 'public-good' } },
    ],
    [
      'a key in a log of its own',
      `{key: {data: ${JSON.stringify(P256)}}, ctlog: {trustRootRef: own}}`,
      { key: { data: P256, transparencyLog: 'required', trustRoot: 'own' } },
    ],
    [
      'a hash',
      `{key: {data: ${JSON.stringify(P256)}, hashAlgorithm: SHA512}}`,
      { key: { data: P256, hashAlgorithm: 'sha512' } },
    ],
    [
      'the default hash, where it is not ours',
      `{key: {data: ${JSON.stringify(P384)}}}`,
      { key: { data: P384, hashAlgorithm: 'sha256' } },
    ],
    [
      'a key with a hash of its own',
      `{key: {data: ${JSON.stringify(ED25519)}, hashAlgorithm: sha256}}`,
      { key: { data: ED25519 } },
    ],
    ['KMS', `{key: {kms: "awskms:///${ARN}"}}`, { key: { kms: `awskms:///${ARN}` } }],
    ['a refusal', '{static: {action: fail, message: no}}', { static: { action: 'fail', message: 'no' } }],
    [
      'a timestamp of nobody',
      `{key: {data: ${JSON.stringify(P256)}}, rfc3161timestamp: {}}`,
      { key: { data: P256 } },
    ],
    [
      'short names',
      `{keyless: {${WHO}}, attestations: [{name: a, predicateType: slsaprovenance}, {name: a, predicateType: vuln}]}`,
      {
        ...keyless('public-good'),
        attestations: [
          { name: 'a', predicateType: 'https://slsa.dev/provenance/v0.2' },
          { name: 'a-2', predicateType: 'https://cosign.sigstore.dev/attestation/vuln/v1' },
        ],
      },
    ],
    [
      'a policy that says nothing',
      `{keyless: {${WHO}}, attestations: [{name: a, predicateType: spdx, policy: {type: cue, data: 'predicateType: "https://spdx.dev/Document"'}}]}`,
      {
        ...keyless('public-good'),
        attestations: [{ name: 'a', predicateType: 'https://spdx.dev/Document' }],
      },
    ],
    [
      'a name',
      '{name: "Ops: release", static: {action: pass}}',
      { name: 'ops-release', static: { action: 'pass' } },
    ],
  ]
  for (const [name, written, converted] of authorities) {
    it(name, () => {
      const { specs, refusals } = convert(withAuthority(written))
      assert.deepEqual(refusals, [])
      assert.deepEqual(specs[0]?.['authorities'], [{ name: 'authority-0', ...converted }])
    })
  }

  it('with the trust root that it was started with', () => {
    const url = `{keyless: {url: "http://fulcio.local", ${WHO}}, ctlog: {url: "http://rekor.local"}}`
    const { specs, refusals } = convert(withAuthority(url), { trustRoot: 'cluster' })
    assert.deepEqual(refusals, [])
    assert.deepEqual(specs[0]?.['authorities'], [{ name: 'authority-0', ...keyless('cluster') }])
  })
})

describe('what is noted', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['a name', '{name: "Ops: release", static: {action: pass}}', /"Ops: release" is called ops-release here/],
    [
      'a short name',
      `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln}]}`,
      /vuln is https:\/\/cosign/,
    ],
    [
      'anybody',
      '{keyless: {identities: [{issuerRegExp: .*, subjectRegExp: .*}]}}',
      /unsafeAnyIdentity says so/,
    ],
    [
      'a trust root',
      `{keyless: {trustRootRef: own, ${WHO}}, ctlog: {trustRootRef: own}}`,
      /configuration must have own/,
    ],
    [
      'a URL that is no anchor',
      `{keyless: {url: "https://f.local", trustRootRef: own, ${WHO}}, ctlog: {trustRootRef: own}}`,
      /keyless\.url is dropped/,
    ],
    [
      'a log that is asked',
      `{key: {data: ${JSON.stringify(P256)}}, ctlog: {url: https://rekor.sigstore.dev}}`,
      /trust\.roots\.public-good\.rekor names/,
    ],
    ['a log that is not asked', `{key: {data: ${JSON.stringify(P256)}}, ctlog: {}}`, /asks for no log entry/],
    [
      'a timestamp of nobody',
      `{key: {data: ${JSON.stringify(P256)}}, rfc3161timestamp: {}}`,
      /asks for nothing/,
    ],
    [
      'a format',
      `{key: {data: ${JSON.stringify(P256)}}, signatureFormat: legacy}`,
      /signatureFormat "legacy" is not converted/,
    ],
    [
      'a format beside static',
      '{static: {action: pass}, signatureFormat: bundle}',
      /signatureFormat beside static is dropped/,
    ],
    ['a message that nobody sees', '{static: {action: pass, message: fine}}', /never shown/],
    [
      'a hash that KMS knows',
      `{key: {kms: "awskms:///${ARN}", hashAlgorithm: sha256}}`,
      /says itself how it signs/,
    ],
    [
      'a hash of Ed25519',
      `{key: {data: ${JSON.stringify(ED25519)}, hashAlgorithm: sha256}}`,
      /Ed25519 fixes its own/,
    ],
  ]
  for (const [name, written, expected] of cases) {
    it(name, () => {
      const { refusals, notes } = convert(withAuthority(written))
      assert.deepEqual(refusals, [])
      assert.match(notes.join('\n'), expected)
    })
  }

  it('a glob with a digest, and what the API server keeps', () => {
    const value = clusterImagePolicy(
      '{images: [{glob: "ghcr.io/acme/app@*"}], authorities: [{static: {action: pass}}]}',
    )
    const { notes } = convert({ ...(value as object), status: {} })
    assert.match(notes.join('\n'), /API server[^]*ghcr\.io\/acme\/app@\* is ghcr\.io\/acme\/app here/)
  })
})

describe('in a policies directory', () => {
  const text = `# reviewed
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: signed
spec:
  images:
    - glob: ghcr.io/acme/**
  authorities:
    - keyless:
        ${WHO}
`
  const load = (changed: string) =>
    loadPolicies({
      files: [{ path: 'cip.yaml', text: changed }],
      trustRoots: new Set(['public-good']),
      keySets: new Set(),
      rings: new Set(),
      defaultMode: 'off',
      unmatched: 'observe',
      defaultStance: 'closed',
      stanceLimit: undefined,
    })

  it('is a policy like any other', () => {
    const result = load(text)
    assert.ok(result.ok)
    const [policy] = result.set.policies
    assert.equal(policy?.mode, 'enforce')
    assert.equal(policy.origin, 'cip.yaml:5')
    assert.equal(policy.matches('ghcr.io/acme/app'), true)
    assert.equal(policy.matches('ghcr.io/other/app'), false)
  })

  const wrong: readonly (readonly [string, string, RegExp])[] = [
    [
      'what is refused',
      text.replace('ghcr.io/acme/**', 'ghcr.io/acme/app:v1'),
      /^cip\.yaml:8: spec\.images\[0\]\.glob: .*; write ghcr\.io\/acme\/app/,
    ],
    [
      'a trust root that nobody configured',
      `${text}        trustRootRef: own\n      ctlog: {trustRootRef: own}\n`,
      /^cip\.yaml:1[0-2]: .*"own", expected a trust root/,
    ],
    ['a TrustRoot', text.replace('ClusterImagePolicy', 'TrustRoot'), /^cip\.yaml:3: kind: .*policy import/],
  ]
  for (const [name, changed, problem] of wrong) {
    it(`${name} is told with its line`, () => {
      const result = load(changed)
      assert.ok(!result.ok)
      assert.match(result.problems.map(problemText).join('\n'), problem)
    })
  }
})
