import * as z from 'zod'
import type { Reason } from './policy/types.ts'
import { failureSchema, sourceSchema } from './store/discovery-codec.ts'
import type { StoredFindings } from './store/types.ts'
import { isShallow } from './verify/json.ts'
import { PREDICATE_DEPTH_KEPT_MAX } from './verify/limits.ts'
import { keyName } from './verify/public-key.ts'
import {
  FULCIO_EXTENSIONS,
  type CandidateResult,
  type Claim,
  type EvidenceFailure,
  type PublicKey,
  type SignerIdentity,
  type TrustRoot,
  type Verified,
} from './verify/types.ts'

/**
 * What verification found of one image, as it is stored, so that other policies can judge it without verifying again. It
 * is a cached fact of this machine: nothing of it proves anything by itself.
 */
export type ImageFindings = {
  readonly verified: readonly Verified[]
  readonly failures: readonly EvidenceFailure[]
  /** What the manifest itself is guilty of. */
  readonly manifestReasons: readonly Reason[]
}

/** `isWhole`: false where something was left out, so that only verifying again tells what a policy would say. */
export type DecodedFindings = ImageFindings & { readonly isWhole: boolean }

/** What something was verified with. */
export type VerifiedWith = {
  readonly roots: readonly TrustRoot[]
  readonly keys: readonly PublicKey[]
  /** Names of trust roots whose log could be asked for entries. */
  readonly logsToAsk?: readonly string[]
}

/** Raised when the JSON changes its meaning; findings of another version are verified again. */
const CODEC_VERSION = 1
/** Provenance and scan summaries are below; an SBOM of some MiB for each image would fill the store. */
const PREDICATE_BYTES_MAX = 32 * 1024

/** One text for one meaning: a line for every root, key and log. */
export function trustedText({ roots, keys, logsToAsk = [] }: VerifiedWith): string {
  const lines = [
    ...roots.map(
      ({ name, version, isRetiring }) => `root ${name} ${version}${isRetiring ? ' retiring' : ''}`,
    ),
    ...keys.map((key) => `key ${keyName(key)}`),
    ...logsToAsk.map((name) => `log ${name}`),
  ]
  return [...new Set(lines)].toSorted().join('\n')
}

/**
 * Whether all that is trusted now was trusted when the findings were made: then they tell all there is to be found. Who
 * signed is found by the name of a root, so what another version of a root vouched for must not be among it.
 */
export function isTrustedEnough(stored: string, now: string): boolean {
  if (stored === now || now === '') return true
  const [then, lines] = [new Set(stored.split('\n')), new Set(now.split('\n'))]
  const names = new Set([...lines].flatMap(rootIn))
  const isGone = (line: string): boolean => !lines.has(line) && rootIn(line).some((name) => names.has(name))
  return [...lines].every((line) => then.has(line)) && ![...then].some(isGone)
}

function rootIn(line: string): readonly string[] {
  const [kind, name] = line.split(' ', 2)
  return kind === 'root' && name !== undefined ? [name] : []
}

/** `unlogged`: what a log could still prove, if a policy asked for it. */
export function encodeFindings(
  {
    failures,
    manifestReasons,
    unlogged = [],
    ...findings
  }: ImageFindings & Pick<CandidateResult, 'unlogged'>,
  trusted: string,
): StoredFindings {
  const verified = findings.verified.map(encodeVerified)
  const isWhole = unlogged.length === 0 && verified.every(({ claim }) => !('isLeftOut' in claim))
  const stored = { version: CODEC_VERSION, isWhole, verified, failures, manifestReasons }
  return { trusted, json: JSON.stringify(stored) }
}

/** Undefined where it is of another version. */
export function decodeFindings({ json }: Pick<StoredFindings, 'json'>): DecodedFindings | undefined {
  const parsed = findingsSchema.safeParse(JSON.parse(json))
  if (!parsed.success) return undefined
  const { isWhole, verified, failures, manifestReasons } = parsed.data
  return {
    isWhole,
    verified: verified.map(decodeVerified),
    failures,
    manifestReasons: manifestReasons.map((reason) => ({ ...reason, authority: undefined })),
  }
}

const subjectTypes = [
  'uri',
  'email',
  'dns',
  'username',
] as const satisfies readonly SignerIdentity['subjectType'][]

const signerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('keyless'),
    trustRoot: z.string(),
    identity: z.strictObject({
      subject: z.string(),
      subjectType: z.enum(subjectTypes),
      issuer: z.string(),
      extensions: z.partialRecord(z.enum(Object.values(FULCIO_EXTENSIONS)), z.string()),
    }),
    byRetiringRoot: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal('key'),
    key: z.string(),
    scheme: z
      .strictObject({
        hash: z.enum(['sha256', 'sha384', 'sha512']).nullable(),
        pss: z.boolean().exactOptional(),
      })
      .exactOptional(),
  }),
])

const logSchema = z.strictObject({
  trustRoot: z.string(),
  logId: z.string(),
  logIndex: z.string(),
  promise: z.boolean(),
  inclusion: z.boolean(),
})

const timeSchema = z.strictObject({
  trustRoot: z.string(),
  source: z.enum(['log', 'timestamp-authority']),
  authority: z.string(),
  /** Milliseconds since 1970. */
  time: z.number(),
})

const claimSchema = z.union([
  z.strictObject({ kind: z.literal('signature') }),
  z.strictObject({
    kind: z.literal('attestation'),
    statement: z.strictObject({ predicateType: z.string(), predicate: z.unknown() }),
  }),
  z.strictObject({ kind: z.literal('attestation'), isLeftOut: z.literal(true), predicateType: z.string() }),
])

const verifiedSchema = z.strictObject({
  source: sourceSchema,
  signer: signerSchema,
  claim: claimSchema,
  logs: z.array(logSchema),
  times: z.array(timeSchema),
})

const findingsSchema = z.strictObject({
  version: z.literal(CODEC_VERSION),
  isWhole: z.boolean(),
  verified: z.array(verifiedSchema),
  failures: z.array(failureSchema),
  manifestReasons: z.array(
    z.strictObject({
      code: z.enum(['malformed', 'foreign-url']),
      found: z.string(),
      expected: z.string(),
    }),
  ),
})

type EncodedVerified = z.output<typeof verifiedSchema>
type EncodedClaim = EncodedVerified['claim']

function encodeVerified({ source, signer, claim, logs, times }: Verified): EncodedVerified {
  return {
    source,
    signer,
    claim: encodeClaim(claim),
    logs: [...logs],
    times: times.map((one) => ({ ...one, time: one.time.getTime() })),
  }
}

function encodeClaim(claim: Claim): EncodedClaim {
  if (claim.kind === 'signature') return claim
  const { predicateType, predicate } = claim.statement
  return isKept(predicate)
    ? { kind: 'attestation', statement: { predicateType, predicate } }
    : { kind: 'attestation', isLeftOut: true, predicateType }
}

/** JSON has no undefined: a statement without predicate is as small as can be. */
function isKept(predicate: unknown): boolean {
  if (predicate === undefined) return true
  return isShallow(predicate, PREDICATE_DEPTH_KEPT_MAX) && sizeBytesOf(predicate) <= PREDICATE_BYTES_MAX
}

function sizeBytesOf(json: unknown): number {
  return Buffer.byteLength(JSON.stringify(json))
}

function decodeVerified({ source, signer, claim, logs, times }: EncodedVerified): Verified {
  return {
    source,
    signer,
    claim: decodeClaim(claim),
    logs,
    times: times.map((one) => ({ ...one, time: new Date(one.time) })),
  }
}

function decodeClaim(claim: EncodedClaim): Claim {
  if (!('isLeftOut' in claim)) return claim
  return { kind: 'attestation', statement: { predicateType: claim.predicateType, predicate: undefined } }
}
