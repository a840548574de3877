import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey, Signer, Verified } from '../verify/types.ts'
import { bindPolicies, type BindingTrust } from './bind.ts'
import { decide } from './decide.ts'
import { policyJsonSchema } from './document.ts'
import { enforce } from './decide.ts'
import { loadPolicies } from './load.ts'
import { policiesFor } from './policy-index.ts'
import { isRecord } from './problem.ts'
import { refusalMessage } from './refusal.ts'

/**
 * A field that is accepted and then ignored is a hole (CVE-2025-29778). For every field of the schema there is a change
 * below that is seen in what the policy demands: in a judgement, in a refusal, or in how a key verifies.
 */

const pem = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 2048 })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()
const KEYS = { one: pem(), two: pem(), held: pem() }

const BASE = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: acme }
spec:
  mode: enforce
  stance: last-verified
  runbook: https://wiki.example/acme
  images: [{ glob: ghcr.io/acme/** }]
  authorities:
    - name: release
      keyless:
        trustRoot: public-good
        identities:
          - { issuer: https://issuer.example, subject: release@acme.example }
          - { issuerPattern: 'https://[a-z]+\\.acme\\.example', subjectPattern: 'b[a-z]+@acme\\.example' }
      attestations: [{ name: provenance, predicateType: slsaprovenance1 }]
    - name: ops
      key: { file: one.pub, transparencyLog: required, trustRoot: public-good, hashAlgorithm: sha384, padding: pss }
    - name: inline
      key: { data: ${JSON.stringify(KEYS.one)}, hashAlgorithm: sha384, padding: pss }
      attestations: [{ name: sbom, predicateType: spdx }]
    - name: cloud
      key: { kms: awskms:///alias/release }
    - name: set
      key: { keySet: release-keys }
`

/** Path in the schema -> a change of the document above. */
const CHANGES: Readonly<Record<string, readonly [from: string, to: string]>> = {
  apiVersion: ['v1alpha1', 'v1'],
  kind: ['ImagePolicy', 'Policy'],
  'metadata.name': ['name: acme', 'name: other'],
  'spec.mode': ['mode: enforce', 'mode: observe'],
  'spec.stance': ['stance: last-verified', 'stance: closed'],
  'spec.authorities[].key.kms': ['alias/release', 'alias/other'],
  'spec.authorities[].key.keySet': ['keySet: release-keys', 'keySet: other-keys'],
  'spec.runbook': ['wiki.example/acme', 'wiki.example/other'],
  'spec.images[].glob': ['ghcr.io/acme/**', 'ghcr.io/other/**'],
  'spec.authorities[].name': ['name: release', 'name: other'],
  'spec.authorities[].keyless.trustRoot': ['        trustRoot: public-good', '        trustRoot: internal'],
  'spec.authorities[].keyless.identities[].issuer': ['https://issuer.example', 'https://other.example'],
  'spec.authorities[].keyless.identities[].issuerPattern': ['[a-z]+\\.acme', '[a-z]+\\.other'],
  'spec.authorities[].keyless.identities[].subject': ['release@acme', 'other@acme'],
  'spec.authorities[].keyless.identities[].subjectPattern': ['b[a-z]+@', 'c[a-z]+@'],
  'spec.authorities[].key.data': [JSON.stringify(KEYS.one), JSON.stringify(KEYS.two)],
  'spec.authorities[].key.file': ['one.pub', 'two.pub'],
  'spec.authorities[].key.hashAlgorithm': ['hashAlgorithm: sha384', 'hashAlgorithm: sha512'],
  'spec.authorities[].key.padding': ['padding: pss', 'padding: pkcs1'],
  'spec.authorities[].key.transparencyLog': ['required, trustRoot: public-good', 'optional'],
  'spec.authorities[].key.trustRoot': ['required, trustRoot: public-good', 'required, trustRoot: internal'],
  'spec.authorities[].attestations[].name': ['name: provenance', 'name: build'],
  'spec.authorities[].attestations[].predicateType': ['slsaprovenance1', 'slsaprovenance'],
}

const source = {
  found: 'referrer',
  manifest: digestOf(Buffer.from('m')),
  blob: digestOf(Buffer.from('b')),
} as const

function keyless(subject: string, issuer: string): Signer {
  return {
    kind: 'keyless',
    trustRoot: 'public-good',
    identity: { subject, issuer, subjectType: 'email', extensions: {} },
    byRetiringRoot: false,
  }
}

function keyed(text: string): Signer {
  const key = readPublicKey(text)
  assert.ok('id' in key)
  return { kind: 'key', key: key.id }
}

function one(signer: Signer, predicateType?: string): Verified {
  const attested = {
    kind: 'attestation',
    statement: { predicateType: predicateType ?? '', predicate: {} },
  } as const
  return {
    source,
    signer,
    claim: predicateType === undefined ? { kind: 'signature' } : attested,
    logs: [],
    times: [],
  }
}

const EVIDENCE: readonly (readonly Verified[])[] = [
  [],
  [one(keyless('release@acme.example', 'https://issuer.example'), 'https://slsa.dev/provenance/v1')],
  [one(keyless('builder@acme.example', 'https://ci.acme.example'), 'https://slsa.dev/provenance/v1')],
  [one(keyed(KEYS.one))],
  [one(keyed(KEYS.one), 'https://spdx.dev/Document')],
]

/** Whatever key a policy refers to is held. */
const TRUST: BindingTrust = {
  roots: new Map([
    ['public-good', []],
    ['internal', []],
  ]),
  unusable: new Map(),
  keys: new Map(
    ['awskms:///alias/release', 'awskms:///alias/other', 'keys:release-keys', 'keys:other-keys'].map(
      (reference) => [reference, { kind: 'held', keys: [held(KEYS.held)] }] as const,
    ),
  ),
}

function held(text: string): HeldKey {
  const key = readPublicKey(text)
  assert.ok('id' in key)
  return { key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }
}

/** Everything that can be seen of a policy from outside, or that it does not load. */
function effectOf(text: string): string {
  const load = loadPolicies({
    files: [{ path: 'acme.yaml', text }],
    keyFiles: new Map([
      ['one.pub', KEYS.one],
      ['two.pub', KEYS.two],
    ]),
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(['release-keys', 'other-keys']),
    defaultMode: 'observe',
    unmatched: 'observe',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  if (!load.ok) return 'does not load'
  const policies = policiesFor(bindPolicies(load.set, TRUST), 'ghcr.io/acme/app')
  const judged = EVIDENCE.map((verified) => {
    const nothing = { failures: [], missing: [], manifestReasons: [] }
    const judgement = decide({ policies, unmatched: 'observe', verified, ...nothing })
    const outcome = enforce(judgement)
    return [judgement, outcome.kind === 'serve' ? '' : refusalMessage(outcome, 'd').line]
  })
  const signers = policies.flatMap(({ authorities }) => authorities.map(({ signer }) => signer))
  const schemes = signers.flatMap((signer) =>
    signer.kind === 'key' ? [signer.keyReference, ...signer.keys.map(({ key }) => key.scheme)] : [],
  )
  return JSON.stringify([judged, schemes])
}

function leavesOf(schema: unknown, path: string): readonly string[] {
  if (!isRecord(schema)) return []
  if (isRecord(schema['items'])) return leavesOf(schema['items'], `${path}[]`)
  const properties = schema['properties']
  if (!isRecord(properties)) return [path]
  return Object.entries(properties).flatMap(([key, value]) =>
    leavesOf(value, path === '' ? key : `${path}.${key}`),
  )
}

test('every field of the schema has its case, and every case its field', () => {
  assert.deepEqual(leavesOf(policyJsonSchema(), '').toSorted(), Object.keys(CHANGES).toSorted())
})

test('the base document loads and is satisfied by some of the evidence', () => {
  assert.match(effectOf(BASE), /"kind":"satisfied".*"kind":"satisfied"/)
})

for (const [field, [from, to]] of Object.entries(CHANGES)) {
  test(`${field} has an effect`, () => {
    assert.ok(BASE.includes(from), 'the change is one')
    // A key has one scheme in all policies, so its scheme is changed wherever it is written.
    assert.notEqual(effectOf(BASE.replaceAll(from, () => to)), effectOf(BASE))
  })
}

for (const field of ['unmatched', 'defaultMode'] as const) {
  test(`${field} changes the version of the set`, () => {
    const base = {
      files: [{ path: 'a', text: BASE.replace('  mode: enforce\n', '') }],
      trustRoots: new Set(['public-good']),
      keySets: new Set(['release-keys']),
      defaultStance: 'closed',
      stanceLimit: undefined,
    } as const
    const keyFiles = new Map([['one.pub', KEYS.one]])
    const sets = (['observe', 'enforce'] as const).map((mode) =>
      loadPolicies({ ...base, keyFiles, defaultMode: 'off', unmatched: 'off', [field]: mode }),
    )
    const versions = sets.map((load) => (load.ok ? load.set.version : assert.fail('does not load')))
    assert.equal(new Set(versions).size, 2)
  })
}
