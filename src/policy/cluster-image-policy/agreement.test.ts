import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { stringify } from 'yaml'
import { digestOf } from '../../oci/digest.ts'
import {
  evaluate,
  type Evidence,
  type Image,
  type NoMatch,
  type ReferencePolicy,
} from '../../testing/cluster-image-policy.ts'
import { NOTHING } from '../../testing/policies.ts'
import { readPublicKey } from '../../verify/public-key.ts'
import type { Signer, Verified } from '../../verify/types.ts'
import { decide, enforce } from '../decide.ts'
import { loadPolicies } from '../load.ts'
import { policiesFor, type IndexedPolicySet } from '../policy-index.ts'
import type { Mode } from '../types.ts'

/** Images times evidence times sets of policies: what we decide is what policy-controller documents. */

function newKey(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

const [OPS, OTHER] = [newKey(), newKey()]
const GITHUB = 'https://token.actions.githubusercontent.com'
const RELEASE = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1'
const EVIL = 'https://github.com/acme-evil/app/.github/workflows/release.yml@refs/tags/v1'
const PROVENANCE = 'https://slsa.dev/provenance/v0.2'
const SBOM = 'https://spdx.dev/Document'

const POLICIES: Readonly<Record<string, ReferencePolicy>> = {
  'exact identity': {
    images: [{ glob: 'ghcr.io/acme/**' }],
    authorities: [{ keyless: { identities: [{ issuer: GITHUB, subject: RELEASE }] } }],
  },
  'searched identity': {
    images: [{ glob: '**' }],
    authorities: [
      { keyless: { identities: [{ issuer: GITHUB, subjectRegExp: '^https://github\\.com/acme.*release' }] } },
    ],
  },
  'identity with alternatives': {
    images: [{ glob: '**' }],
    authorities: [
      {
        keyless: {
          identities: [{ issuerRegExp: 'githubusercontent\\.com$', subjectRegExp: 'acme/app|nobody' }],
        },
      },
    ],
  },
  'one of two identities': {
    images: [{ glob: 'ghcr.io/acme/*' }],
    authorities: [
      {
        keyless: {
          identities: [
            { issuer: GITHUB, subject: EVIL },
            { issuer: GITHUB, subject: RELEASE },
          ],
        },
      },
    ],
  },
  anybody: {
    images: [{ glob: '**demo**' }],
    authorities: [{ keyless: { identities: [{ issuerRegExp: '.*', subjectRegExp: '.+' }] } }],
  },
  'another trust root': {
    images: [{ glob: '**' }],
    authorities: [
      {
        keyless: { trustRootRef: 'internal', identities: [{ issuer: GITHUB, subject: RELEASE }] },
        ctlog: { trustRootRef: 'internal' },
      },
    ],
  },
  key: { images: [{ glob: '**' }], authorities: [{ key: { data: OPS } }] },
  'logged key': {
    images: [{ glob: 'ghcr.io/acme/app@*' }],
    authorities: [{ key: { data: OPS }, ctlog: { url: 'https://rekor.sigstore.dev' } }],
  },
  'key in the log of another root': {
    images: [{ glob: '**' }],
    authorities: [{ key: { data: OPS }, ctlog: { trustRootRef: 'internal' } }],
  },
  'key or identity': {
    images: [{ glob: 'ghcr.io/**' }, { glob: '*' }],
    authorities: [
      { key: { data: OTHER } },
      { keyless: { identities: [{ issuer: GITHUB, subject: RELEASE }] } },
    ],
  },
  'two attestations': {
    images: [{ glob: '**' }],
    authorities: [
      {
        keyless: { identities: [{ issuer: GITHUB, subject: RELEASE }] },
        attestations: [
          { name: 'a', predicateType: 'slsaprovenance' },
          { name: 'b', predicateType: SBOM },
        ] as never,
      },
    ],
  },
  'attestation by key, or signature': {
    images: [{ glob: '*/*' }, { glob: 'ghcr.io/acme/a**' }],
    authorities: [
      { key: { data: OPS }, attestations: [{ name: 'a', predicateType: 'spdxjson' }] as never },
      { key: { data: OTHER } },
    ],
  },
  'warn only': {
    mode: 'warn',
    images: [{ glob: '**' }],
    authorities: [{ keyless: { identities: [{ issuer: GITHUB, subject: RELEASE }] } }],
  },
  pass: { images: [{ glob: 'quay.io/**' }], authorities: [{ static: { action: 'pass' } }] },
  fail: { images: [{ glob: '**demo**' }], authorities: [{ static: { action: 'fail' } }] },
}

const IMAGES: readonly Image[] = [
  { registry: 'ghcr.io', name: 'acme/app' },
  { registry: 'ghcr.io', name: 'acme/team/api' },
  { registry: 'docker.io', name: 'library/nginx' },
  { registry: 'docker.io', name: 'acme/tool' },
  { registry: 'quay.io', name: 'x/demo-app' },
].map((one) => ({ ...one, digest: digestOf(Buffer.from(one.name)) }))

const keyless = (subject: string, trustRoot = 'public-good') =>
  ({ kind: 'keyless', trustRoot, issuer: GITHUB, subject }) as const
const key = (pem: string) => ({ kind: 'key', pem }) as const

const EVIDENCE: readonly Evidence[] = [
  { predicateType: undefined, signer: keyless(RELEASE), logs: ['public-good'] },
  { predicateType: undefined, signer: keyless(EVIL), logs: ['public-good'] },
  { predicateType: undefined, signer: keyless(RELEASE, 'internal'), logs: ['internal'] },
  { predicateType: PROVENANCE, signer: keyless(RELEASE), logs: ['public-good'] },
  { predicateType: SBOM, signer: keyless(RELEASE), logs: ['public-good'] },
  { predicateType: undefined, signer: key(OPS), logs: [] },
  { predicateType: undefined, signer: key(OPS), logs: ['public-good'] },
  { predicateType: SBOM, signer: key(OPS), logs: ['internal'] },
  { predicateType: undefined, signer: key(OTHER), logs: ['public-good'] },
]

const NO_MATCH: readonly (readonly [NoMatch, Mode])[] = [
  ['allow', 'off'],
  ['warn', 'observe'],
  ['deny', 'enforce'],
]

function load(names: readonly string[]): IndexedPolicySet {
  const files = names.map((name, index) => ({
    path: `${index}.yaml`,
    text: stringify({
      apiVersion: index % 2 === 0 ? 'policy.sigstore.dev/v1alpha1' : 'policy.sigstore.dev/v1beta1',
      kind: 'ClusterImagePolicy',
      metadata: { name: name.replaceAll(/[^a-z]+/g, '-') },
      spec: POLICIES[name],
    }),
  }))
  const load = loadPolicies({
    files,
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(),
    rings: new Set(),
    defaultMode: 'off',
    unmatched: 'off',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  assert.deepEqual(load.ok ? [] : load.problems, [])
  assert.ok(load.ok)
  return load.set
}

function verifiedOf({ predicateType, signer, logs }: Evidence): Verified {
  const digest = digestOf(Buffer.from('evidence'))
  return {
    source: { found: 'referrer', manifest: digest, blob: digest },
    signer: signerOf(signer),
    claim:
      predicateType === undefined
        ? { kind: 'signature' }
        : { kind: 'attestation', statement: { predicateType, predicate: {} } },
    logs: logs.map((trustRoot) => ({
      trustRoot,
      logId: 'aa',
      logIndex: '1',
      promise: true,
      inclusion: true,
    })),
    times: [],
  }
}

function signerOf(signer: Evidence['signer']): Signer {
  if (signer.kind === 'key') {
    const read = readPublicKey(signer.pem)
    assert.ok(!('problem' in read))
    return { kind: 'key', key: read.id }
  }
  const { trustRoot, issuer, subject } = signer
  return {
    kind: 'keyless',
    trustRoot,
    byRetiringRoot: false,
    identity: { subject, subjectType: 'uri', issuer, extensions: {} },
  }
}

function answerOf(
  set: IndexedPolicySet,
  image: Image,
  evidence: readonly Evidence[],
  unmatched: Mode,
): string {
  const { registry, name } = image
  const policies = policiesFor(set, `${registry}/${name}`)
  const outcome = enforce(
    decide({
      ...NOTHING,
      image: { registry, name, digest: digestOf(Buffer.from(name)) },
      policies,
      unmatched,
      verified: evidence.flatMap((one) => VERIFIED.get(one) ?? []),
    }),
  )
  if (outcome.kind !== 'serve') return 'deny'
  return outcome.warnings.length > 0 ? 'warn' : 'allow'
}

/** Each once: reading a key is the slowest of all this. */
const VERIFIED = new Map(EVIDENCE.map((one) => [one, verifiedOf(one)]))

/** Every subset of at most two, and all. */
function subsets<T>(items: readonly T[]): readonly (readonly T[])[] {
  const pairs = items.flatMap((one, index) => items.slice(index + 1).map((other) => [one, other]))
  return [[], ...items.map((one) => [one]), ...pairs, [...items]]
}

describe('verdicts over imported policies are those that policy-controller documents', () => {
  const sets = subsets(Object.keys(POLICIES)).filter((names) => names.length > 0)
  const seen = new Map<string, number>()
  for (const names of sets) {
    it(names.length > 3 ? 'all policies' : names.join(' and '), () => {
      const set = load(names)
      const policies = names.flatMap((name) => POLICIES[name] ?? [])
      for (const image of IMAGES) {
        for (const evidence of subsets(EVIDENCE)) {
          for (const [noMatch, unmatched] of NO_MATCH) {
            const expected = evaluate(policies, image, evidence, noMatch)
            seen.set(expected, (seen.get(expected) ?? 0) + 1)
            assert.equal(
              answerOf(set, image, evidence, unmatched),
              expected,
              JSON.stringify({ image, evidence, noMatch }),
            )
          }
        }
      }
    })
  }

  it('and the matrix has many of each', () => {
    for (const answer of ['allow', 'warn', 'deny']) assert.ok((seen.get(answer) ?? 0) > 1_000, answer)
  })
})
