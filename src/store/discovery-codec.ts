import { createHash } from 'node:crypto'
import { z } from 'zod'
import { parseDigest, type Digest } from '../oci/digest.ts'
import type { Discovery } from '../discover/types.ts'
import { LOG_ENTRY_JSON_BYTES_MAX, LOOKED_UP_ENTRIES_MAX } from '../verify/limits.ts'
import type { Candidate, EvidenceFailure, EvidenceSource, FailureCode } from '../verify/types.ts'

/** A discovery as it is stored: names and lengths as JSON, and the bytes of all candidates one after another. */
export type EncodedDiscovery = {
  readonly header: string
  readonly bytes: Buffer
  /** sha256 over both. Damage must read as "not stored", never as evidence that does not verify. */
  readonly checksum: string
}

/** Raised when the header changes its meaning; rows of another version are dropped and gathered again. */
const CODEC_VERSION = 1

const FOUND = [
  'referrer',
  'fallback-tag',
  'signature-tag',
  'attestation-tag',
  'file',
] as const satisfies readonly EvidenceSource['found'][]

const FAILURE_CODES = [
  'malformed',
  'unsupported',
  'certificate',
  'log-entry',
  'timestamp',
  'signature',
  'subject',
  'key',
] as const satisfies readonly FailureCode[]

const digestSchema = z.custom<Digest>(
  (value) => typeof value === 'string' && parseDigest(value) !== undefined,
)
export const sourceSchema = z.strictObject({
  found: z.enum(FOUND),
  manifest: digestSchema,
  blob: digestSchema,
})
export const failureSchema = z.strictObject({
  source: sourceSchema,
  code: z.enum(FAILURE_CODES),
  message: z.string(),
})
const lengthSchema = z.int().nonnegative()
const annotationsSchema = z.record(z.string(), z.string())

/** Absent where none was looked up, as in all rows that are older than the look-up. */
const logEntriesSchema = z
  .array(z.string().max(LOG_ENTRY_JSON_BYTES_MAX))
  .max(LOOKED_UP_ENTRIES_MAX)
  .exactOptional()

const candidateSchema = z.discriminatedUnion('form', [
  z.strictObject({
    form: z.literal('bundle'),
    source: sourceSchema,
    length: lengthSchema,
    logEntries: logEntriesSchema,
  }),
  z.strictObject({
    form: z.enum(['simple-signing', 'dsse']),
    source: sourceSchema,
    length: lengthSchema,
    annotations: annotationsSchema,
    logEntries: logEntriesSchema,
  }),
])

const headerSchema = z.strictObject({
  version: z.literal(CODEC_VERSION),
  candidates: z.array(candidateSchema),
  rejected: z.array(failureSchema),
})

type Header = z.infer<typeof headerSchema>
type CandidateHeader = Header['candidates'][number]

export function encodeDiscovery(discovery: Discovery): EncodedDiscovery {
  const header: Header = {
    version: CODEC_VERSION,
    candidates: discovery.candidates.map(describe),
    rejected: discovery.rejected.map(({ source, code, message }) => ({ source, code, message })),
  }
  const text = JSON.stringify(header)
  const bytes = Buffer.concat(discovery.candidates.map((candidate) => candidate.bytes))
  return { header: text, bytes, checksum: checksumOf(text, bytes) }
}

function describe(candidate: Candidate): CandidateHeader {
  const { source } = candidate
  const length = candidate.bytes.length
  const { logEntries = [] } = candidate
  const lookedUp = logEntries.length === 0 ? {} : { logEntries: logEntries.slice(0, LOOKED_UP_ENTRIES_MAX) }
  if (candidate.form === 'bundle') return { form: candidate.form, source, length, ...lookedUp }
  return { form: candidate.form, source, length, annotations: { ...candidate.annotations }, ...lookedUp }
}

/** What was encoded, or undefined where it is damaged or of another version. */
export function decodeDiscovery(encoded: EncodedDiscovery): Discovery | undefined {
  if (checksumOf(encoded.header, encoded.bytes) !== encoded.checksum) return undefined
  const header = headerSchema.safeParse(parseJson(encoded.header))
  if (!header.success) return undefined
  const candidates: Candidate[] = []
  let offset = 0
  for (const { length, ...description } of header.data.candidates) {
    // A copy: a slice would keep the bytes of all the others in memory with it.
    candidates.push({ ...description, bytes: Buffer.from(encoded.bytes.subarray(offset, offset + length)) })
    offset += length
  }
  if (offset !== encoded.bytes.length) return undefined
  const rejected: readonly EvidenceFailure[] = header.data.rejected
  return { candidates, rejected, failures: [] }
}

function checksumOf(header: string, bytes: Buffer): string {
  const hash = createHash('sha256').update(`${header}\n`).update(bytes)
  return `sha256:${hash.digest('hex')}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
