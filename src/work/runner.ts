import { readReferrerList, type ReferrerList } from '../discover/referrer-list.ts'
import { EVIDENCE_JSON_BYTES_MAX, evidenceLook, isEvidenceBlob } from '../oci/evidence-blob.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import type { Manifest } from '../oci/manifest-types.ts'
import { parseManifest } from '../oci/manifest.ts'
import { mergeReferrers } from '../oci/referrers.ts'
import type { Candidate, CandidateResult } from '../verify/types.ts'
import type { SubjectInput } from '../verify/verify.ts'
import { createCandidateVerifier } from './candidates.ts'
import { createPool, type PoolOptions } from './pool.ts'
import { asBuffer, type TaskResult } from './task.ts'
import { finishInTurns } from './turns.ts'
import { assertWanted, WorkError } from './work-error.ts'

type VerificationOutcome = CandidateResult & {
  /** Candidates of which nothing is known, since their work did not finish. What is verified holds all the same. */
  readonly unfinished: readonly WorkError[]
}

export type VerificationRunner = {
  /**
   * Verifies all candidates without holding the event loop. Rejects with WorkError where the signal aborts, and where
   * some work did not finish and nothing else verified: then nobody knows whether the image is good.
   */
  verify(
    candidates: readonly Candidate[],
    input: SubjectInput,
    signal: AbortSignal,
  ): Promise<VerificationOutcome>
  /** `parseManifest` of oci/manifest.ts, in a thread where the manifest is large. Rejects with ManifestError or WorkError. */
  parseManifest(bytes: Buffer, contentType: string | undefined, signal: AbortSignal): Promise<Manifest>
  /** `readReferrerList` of discover/referrer-list.ts likewise. Rejects with WorkError. */
  readReferrers(bytes: Buffer, signal: AbortSignal): Promise<ReferrerList>
  /** `mergeReferrers` of oci/referrers.ts likewise. Rejects with ManifestError or WorkError. */
  mergeReferrers(
    lists: readonly Buffer[],
    artifactType: string | undefined,
    signal: AbortSignal,
  ): Promise<Buffer>
  /** `isEvidenceBlob` of oci/evidence-blob.ts likewise, or in turns. Rejects with WorkError. */
  isEvidenceBlob(bytes: Buffer, signal: AbortSignal): Promise<boolean>
  /** Gives up what runs. */
  close(): Promise<void>
}

const DEFAULTS: PoolOptions = { threadsMax: 1, queueMax: 256, taskTimeoutMs: 10_000, threadMemoryMib: 512 }

/**
 * Text somebody else wrote: at worst it is all keys, and this much takes some 5 ms. Nearly all manifests are smaller; a
 * larger one is worth the millisecond that a thread costs.
 */
const INLINE_BYTES_MAX = 32 * 1024

/** Work of which whoever pushes decides how long it takes: in threads, or in slices between which everything else goes on. */
export function createVerificationRunner(options: Partial<PoolOptions> = {}): VerificationRunner {
  const all = { ...DEFAULTS, ...options }
  const verifier = createCandidateVerifier(all)
  const pool = createPool(all)
  // A thread of its own: whoever may only ask must not keep a verdict waiting.
  const servingPool = createPool(all)
  const closing = new AbortController()
  const untilClosed = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, closing.signal])

  return {
    async verify(candidates, input, signal) {
      const either = untilClosed(signal)
      assertWanted(either)
      const results = await verifier.verifyAll(candidates, input, either)
      assertWanted(either)
      return merge(results)
    },
    parseManifest: async (bytes, contentType, signal) => {
      if (bytes.length <= INLINE_BYTES_MAX) return parseManifest(bytes, contentType)
      return valueOf(await pool.run('manifest', { bytes, contentType }, untilClosed(signal)))
    },
    readReferrers: async (bytes, signal) => {
      if (bytes.length <= INLINE_BYTES_MAX) return readReferrerList(bytes)
      return await pool.run('referrers', bytes, untilClosed(signal))
    },
    mergeReferrers: async (lists, artifactType, signal) => {
      const sizeBytes = lists.reduce((sum, list) => sum + list.length, 0)
      if (sizeBytes <= INLINE_BYTES_MAX) return mergeReferrers(lists, artifactType)
      return asBuffer(valueOf(await servingPool.run('listing', { lists, artifactType }, untilClosed(signal))))
    },
    isEvidenceBlob: async (bytes, signal) => {
      if (bytes.length <= INLINE_BYTES_MAX) return isEvidenceBlob(bytes)
      // Larger ones are never parsed, and then handing them over costs more than looking at them.
      if (bytes.length > EVIDENCE_JSON_BYTES_MAX) return await finishInTurns(evidenceLook(bytes))
      return await servingPool.run('evidence', bytes, untilClosed(signal))
    },
    async close() {
      closing.abort(new WorkError('closed', 'the verifier is closing'))
      await Promise.all([verifier, pool, servingPool].map((one) => one.close()))
    },
  }
}

function valueOf<T>(result: TaskResult<T>): T {
  if (!result.ok) throw new ManifestError(result.code, result.message)
  return result.value
}

function merge(results: readonly PromiseSettledResult<CandidateResult>[]): VerificationOutcome {
  const finished = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const unfinished = results.flatMap((result) =>
    result.status === 'rejected' ? [asWorkError(result.reason)] : [],
  )
  const verified = finished.flatMap((result) => result.verified)
  const [first] = unfinished
  if (first !== undefined && verified.length === 0) throw first
  const unlogged = finished.flatMap((result) => result.unlogged ?? [])
  return { verified, failures: finished.flatMap((result) => result.failures), unlogged, unfinished }
}

function asWorkError(error: unknown): WorkError {
  if (error instanceof WorkError) return error
  return new WorkError('crashed', error instanceof Error ? error.message : String(error), error)
}
