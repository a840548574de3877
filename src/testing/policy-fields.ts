import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import type { PolicySources } from '../policy/load.ts'
import { isRecord } from '../policy/problem.ts'
import { FULCIO_EXTENSIONS } from '../verify/types.ts'

/** For every field of a policy document: a document that has it, and another value for it that must make a difference. */

type Json = Readonly<Record<string, unknown>>
/** Two documents that differ in nothing but the field. */
export type FieldCase = { readonly before: Json; readonly after: unknown }
type Entry = readonly [path: string, spec: Json, to: unknown]

export const ISSUER = 'https://ci.example'
export const SUBJECT = 'release@acme.example'
export const BUILDER = 'https://ci.example/builder'
export const WORKFLOW = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1'
export const GITHUB = 'https://token.actions.githubusercontent.com'
export const V02 = 'https://slsa.dev/provenance/v0.2'
export const VSA = 'https://slsa.dev/verification_summary/v1'
export const EXTENSIONS = Object.values(FULCIO_EXTENSIONS)

const pem = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 2048 })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()
export const KEYS = { one: pem(), other: pem(), kms: pem(), set: pem() }

const FIXED = { name: 'none', static: { action: 'fail', message: 'not here' } }
const WHO = { issuer: ISSUER, subject: SUBJECT }
const byCi = (changes: Json = {}): Json => ({ name: 'ci', keyless: { identities: [WHO] }, ...changes })
const byKey = (key: Json): Json => ({ authorities: [{ name: 'ops', key }] })
const identity = (changes: Json): Json => ({
  authorities: [byCi({ keyless: { identities: [changes] } })],
})
const attested = (predicateType: string, changes: Json): Json => ({
  authorities: [byCi({ attestations: [{ name: 'proof', predicateType, ...changes }] })],
})
const slsa = (shown: Json): Json => attested(V02, { slsa: shown })
const vsa = (shown: Json): Json =>
  attested(VSA, {
    vsa: { verifiers: ['https://verifier.example'], levels: ['SLSA_BUILD_LEVEL_2'], ...shown },
  })
const both = (require: Json): Json => ({ authorities: [byCi(), FIXED], require })
const AUTHORITY = 'spec.authorities[]'
const ATTESTATION = `${AUTHORITY}.attestations[]`

/** Each is found in a document as itself and as a pattern. */
function texts(
  path: string,
  specOf: (entry: unknown) => Json,
  [right, pattern, wrong]: readonly [right: string, pattern: string, wrong: string],
): readonly Entry[] {
  return [
    [path, specOf(right), wrong],
    [`${path}.pattern`, specOf({ pattern }), 'never'],
  ]
}

const EXTENSION_CASES = EXTENSIONS.flatMap((name) =>
  texts(
    `${AUTHORITY}.keyless.identities[].extensions.${name}`,
    (entry) => identity({ ...WHO, extensions: { [name]: entry } }),
    ['right', 'r[a-z]+t', 'wrong'],
  ),
)

const SLSA_CASES = (
  [
    ['sources', 'https://git.example/acme/app', 'https://git\\.example/acme/.*', 'https://git.example/x'],
    ['sourceRefs', 'refs/tags/v1', 'refs/tags/v.*', 'refs/tags/v2'],
    ['buildTypes', 'https://ci.example/type', 'https://ci\\.example/t.*', 'https://ci.example/other'],
    ['materials', 'https://git.example/acme/app', 'https://git\\.example/.*', 'https://git.example/x'],
    ['invocations', 'https://ci.example/runs/1', 'https://ci\\.example/runs/.*', 'https://ci.example/runs/2'],
  ] as const
).flatMap(([field, ...values]) =>
  texts(`${ATTESTATION}.slsa.${field}[]`, (entry) => slsa({ [field]: [entry] }), values),
)

const VSA_CASES = (
  [
    ['verifiers', 'https://verifier.example', 'https://verifier\\.exam.*', 'https://other.example'],
    ['resourceUris', 'ghcr.io/acme/app', 'ghcr\\.io/acme/.*', 'ghcr.io/acme/x'],
    ['policies', 'https://verifier.example/policy', 'https://verifier\\.example/.*', 'https://x.example'],
  ] as const
).flatMap(([field, ...values]) =>
  texts(`${ATTESTATION}.vsa.${field}[]`, (entry) => vsa({ [field]: [entry] }), values),
)

/** Path in the schema -> a document, and another value for what stands there. */
export const CASES = casesOf([
  ['apiVersion', {}, 'portcullis.dev/v1'],
  ['kind', {}, 'Policy'],
  ['spec.mode', { mode: 'enforce' }, 'observe'],
  ['spec.rings{}', { rings: { canary: 'off' } }, 'enforce'],
  ['spec.rollout.minDays', { rollout: { minDays: 1 } }, 30],
  ['spec.rollout.minPulls', { rollout: { minPulls: 1 } }, 1000],
  ['spec.rollout.minImages', { rollout: { minImages: 1 } }, 1000],
  ['spec.rollout.maxWouldBlocks', { rollout: { maxWouldBlocks: 1000 } }, 0],
  ['spec.stance', { stance: 'last-verified' }, 'closed'],
  ['spec.verifyBudget', { verifyBudget: '800ms' }, '2s'],
  ['spec.images[].glob', { images: [{ glob: 'ghcr.io/acme/**' }] }, 'ghcr.io/other/**'],
  [
    `${AUTHORITY}.keyless.trustRoot`,
    { authorities: [byCi({ keyless: { trustRoot: 'public-good', identities: [WHO] } })] },
    'internal',
  ],
  [
    `${AUTHORITY}.keyless.unsafeAnyIdentity`,
    { authorities: [byCi({ keyless: { unsafeAnyIdentity: true } })] },
    false,
  ],
  [`${AUTHORITY}.keyless.identities[].issuer`, identity(WHO), 'https://other.example'],
  [
    `${AUTHORITY}.keyless.identities[].issuerPattern`,
    identity({ issuerPattern: 'https://[a-z]+\\.example', subject: SUBJECT }),
    'https://other',
  ],
  [`${AUTHORITY}.keyless.identities[].subject`, identity(WHO), 'other@acme.example'],
  [
    `${AUTHORITY}.keyless.identities[].subjectPattern`,
    identity({ issuer: ISSUER, subjectPattern: 'r[a-z]+@acme\\.example' }),
    'x@acme\\.example',
  ],
  ...EXTENSION_CASES,
  [`${AUTHORITY}.key.data`, byKey({ data: KEYS.one }), KEYS.other],
  [`${AUTHORITY}.key.file`, byKey({ file: 'one.pub' }), 'other.pub'],
  [`${AUTHORITY}.key.kms`, byKey({ kms: 'awskms:///alias/release' }), 'awskms:///alias/other'],
  [`${AUTHORITY}.key.keySet`, byKey({ keySet: 'release-keys' }), 'other-keys'],
  [`${AUTHORITY}.key.validFrom`, byKey({ data: KEYS.one, validFrom: '2026-04-01' }), '2026-06-01'],
  [
    `${AUTHORITY}.key.validUntil`,
    byKey({ kms: 'awskms:///alias/release', validUntil: '2026-06-01T00:00:00Z' }),
    '2026-04-01T00:00:00Z',
  ],
  [`${AUTHORITY}.key.hashAlgorithm`, byKey({ data: KEYS.one, hashAlgorithm: 'sha384' }), 'sha512'],
  [`${AUTHORITY}.key.padding`, byKey({ data: KEYS.one, padding: 'pss' }), 'pkcs1'],
  [`${AUTHORITY}.key.transparencyLog`, byKey({ data: KEYS.one, transparencyLog: 'optional' }), 'required'],
  [
    `${AUTHORITY}.key.trustRoot`,
    byKey({ data: KEYS.one, validFrom: '2026-04-01', trustRoot: 'public-good' }),
    'internal',
  ],
  [`${AUTHORITY}.static.action`, { authorities: [{ name: 'all', static: { action: 'pass' } }] }, 'fail'],
  [`${ATTESTATION}.predicateType`, attested('spdx', {}), 'cyclonedx'],
  [`${ATTESTATION}.maxAge`, attested('spdx', { maxAge: '90d' }), '30d'],
  [
    `${ATTESTATION}.slsa.level`,
    {
      authorities: [
        {
          name: 'gh',
          keyless: { identities: [{ issuer: GITHUB, subject: WORKFLOW }] },
          attestations: [{ name: 'proof', predicateType: V02, slsa: { level: 2 } }],
        },
      ],
    },
    3,
  ],
  [`${ATTESTATION}.slsa.builders[]`, slsa({ builders: [BUILDER] }), 'https://x.example'],
  [`${ATTESTATION}.slsa.builders[].id`, slsa({ builders: [{ id: BUILDER }] }), 'https://x.example'],
  [`${ATTESTATION}.slsa.builders[].level`, slsa({ level: 2, builders: [{ id: BUILDER, level: 2 }] }), 1],
  [
    `${ATTESTATION}.slsa.builders[].pattern`,
    slsa({ builders: [{ pattern: 'https://ci\\.example/.*' }] }),
    'never',
  ],
  ...SLSA_CASES,
  [`${ATTESTATION}.vsa.levels[]`, vsa({}), 'SLSA_BUILD_LEVEL_3'],
  ...VSA_CASES,
  [
    `${ATTESTATION}.expressions[].expression`,
    attested('spdx', { expressions: [{ expression: 'image.name == "acme/app"' }] }),
    'image.name == "acme/x"',
  ],
  [
    `${AUTHORITY}.expressions[].expression`,
    { authorities: [byCi({ expressions: [{ expression: 'image.name == "acme/app"' }] })] },
    'image.name == "acme/x"',
  ],
  [`${AUTHORITY}.maxAge`, { authorities: [byCi({ maxAge: '90d' })] }, '30d'],
  ['spec.require.any[]', both({ any: ['ci', { all: ['ci', 'none'] }] }), 'none'],
  ['spec.require.all[]', both({ all: ['ci', { any: ['ci', 'none'] }] }), 'none'],
  [
    'spec.require.threshold',
    { authorities: [byCi(), { name: 'ops', key: { data: KEYS.one } }], require: { threshold: 1 } },
    2,
  ],
  ['spec.require.of[]', { authorities: [byCi()], require: { threshold: 1, of: ['ci'] } }, 'other'],
])

/** Names and explanations: they are only there to be read. */
export const WORDS = casesOf([
  ['metadata.name', {}, 'other'],
  ['spec.runbook', { runbook: 'https://wiki.example/acme' }, 'https://wiki.example/other'],
  [`${AUTHORITY}.name`, {}, 'other'],
  [`${ATTESTATION}.name`, attested('spdx', {}), 'other'],
  [`${AUTHORITY}.static.message`, { authorities: [FIXED] }, 'nor there'],
  [
    `${ATTESTATION}.expressions[].message`,
    attested('spdx', { expressions: [{ expression: 'image.name == "x"', message: 'the right one' }] }),
    'another one',
  ],
  [
    `${AUTHORITY}.expressions[].message`,
    { authorities: [byCi({ expressions: [{ expression: 'image.name == "x"', message: 'the right one' }] })] },
    'another one',
  ],
])

function documentOf(spec: Json): Json {
  const usual = { mode: 'enforce', images: [{ glob: 'ghcr.io/acme/**' }], authorities: [byCi()] }
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'acme' },
    spec: { ...usual, ...spec },
  }
}

function casesOf(entries: readonly Entry[]): ReadonlyMap<string, FieldCase> {
  return new Map(
    entries.map(([path, spec, to]) => {
      const before = documentOf(spec)
      return [path, { before, after: changed(before, stepsOf(path), to) }]
    }),
  )
}

/** The document with another value at a path of the schema: of the first entry of a list, of ring canary. */
function changed(document: unknown, path: readonly string[], to: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return to
  if (Array.isArray(document)) return [changed(document[0], rest, to), ...document.slice(1)]
  assert.ok(isRecord(document) && step in document, `the document has ${step}`)
  return { ...document, [step]: changed(document[step], rest, to) }
}

function stepsOf(path: string): readonly string[] {
  return path.replaceAll('[]', '.0').replaceAll('{}', '.canary').split('.')
}

const LOADING = {
  keyFiles: new Map([
    ['one.pub', KEYS.one],
    ['other.pub', KEYS.other],
  ]),
  trustRoots: new Set(['public-good', 'internal']),
  keySets: new Set(['release-keys', 'other-keys']),
  rings: new Set(['default', 'canary']),
  defaultMode: 'observe',
  unmatched: 'observe',
  defaultStance: 'closed',
  stanceLimit: undefined,
} as const

/** What it takes to load the document. */
export function sourcesOf(document: unknown): PolicySources {
  return { ...LOADING, files: [{ path: 'a.yaml', text: JSON.stringify(document) }] }
}
