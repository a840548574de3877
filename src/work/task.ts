import { createPublicKey } from 'node:crypto'
import type { ReferrerList } from '../discover/referrer-list.ts'
import type { Digest } from '../oci/digest.ts'
import type { ManifestErrorCode } from '../oci/manifest-error.ts'
import type { Manifest } from '../oci/manifest-types.ts'
import type {
  Candidate,
  CandidateResult,
  EvidenceSource,
  KeyScheme,
  PublicKey,
  TrustRoot,
} from '../verify/types.ts'
import type { SubjectInput } from '../verify/verify.ts'

/** What crosses to a worker thread: plain data, since keys and certificates are objects of one thread. */
export type VerifyTask = {
  readonly form: Candidate['form']
  readonly source: EvidenceSource
  readonly bytes: Uint8Array
  readonly annotations: Readonly<Record<string, string>>
  readonly logEntries: readonly string[]
  readonly subject: Digest
  readonly artifact: Uint8Array | undefined
  readonly roots: readonly Omit<TrustRoot, 'material'>[]
  readonly keys: readonly KeyData[]
  readonly logsToAsk: readonly string[] | undefined
}

export type KeyData = {
  readonly id: string
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  readonly scheme: KeyScheme | undefined
}

type ManifestTask = { readonly bytes: Uint8Array; readonly contentType: string | undefined }

type ListingTask = {
  readonly lists: readonly Uint8Array[]
  readonly artifactType: string | undefined
}

/** A ManifestError would lose its class on the way back. */
export type TaskResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: ManifestErrorCode; readonly message: string }

/** What a thread does, by name. */
export type Jobs = {
  readonly verify: (task: VerifyTask) => CandidateResult
  readonly manifest: (task: ManifestTask) => TaskResult<Manifest>
  readonly referrers: (bytes: Uint8Array) => ReferrerList
  readonly listing: (task: ListingTask) => TaskResult<Uint8Array>
  readonly evidence: (bytes: Uint8Array) => boolean
}

export function toVerifyTask(candidate: Candidate, input: SubjectInput): VerifyTask {
  return {
    form: candidate.form,
    source: candidate.source,
    bytes: candidate.bytes,
    annotations: candidate.form === 'bundle' ? {} : candidate.annotations,
    logEntries: candidate.logEntries ?? [],
    subject: input.subject,
    artifact: input.artifact,
    roots: input.roots.map(({ material: _material, ...root }) => root),
    keys: input.keys.map(({ id, key, scheme }) => ({
      id,
      spki: key.export({ format: 'der', type: 'spki' }),
      scheme,
    })),
    logsToAsk: input.logsToAsk,
  }
}

/** A Buffer again: structured cloning leaves a plain Uint8Array. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function toCandidate(task: VerifyTask): Candidate {
  const { form, source, annotations, logEntries } = task
  const bytes = asBuffer(task.bytes)
  return form === 'bundle'
    ? { form, source, bytes, logEntries }
    : { form, source, bytes, annotations, logEntries }
}

export function toPublicKey({ id, spki, scheme }: KeyData): PublicKey {
  const key = createPublicKey({ key: asBuffer(spki), format: 'der', type: 'spki' })
  return scheme === undefined ? { id, key } : { id, key, scheme }
}
