import { ManifestError } from '../oci/manifest-error.ts'
import type { Manifest } from '../oci/manifest-types.ts'
import { parseManifest } from '../oci/manifest.ts'
import type { Candidate, CandidateResult } from '../verify/types.ts'
import { verificationSteps, type SubjectInput } from '../verify/verify.ts'
import { createPool, type Pool, type PoolOptions } from './pool.ts'
import { toVerifyTask } from './task.ts'
import { createTurns } from './turns.ts'
import { WorkError } from './work-error.ts'

export type VerificationOutcome = CandidateResult & {
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
  /** Gives up what runs. */
  close(): Promise<void>
}

const DEFAULTS: PoolOptions = { threadsMax: 1, queueMax: 256, taskTimeoutMs: 10_000, threadMemoryMib: 512 }

/** JSON of this size is parsed in about 2 ms; nearly all signatures and manifests are smaller. */
const INLINE_BYTES_MAX = 256 * 1024
/** The longest that one slice may hold the event loop, by the verifier's own estimate of the worst case. */
const SLICE_US_MAX = 20_000

/** Heavy candidates go to a thread; light ones are verified here, in slices between which everything else goes on. */
export function createVerificationRunner(options: Partial<PoolOptions> = {}): VerificationRunner {
  const pool = createPool({ ...DEFAULTS, ...options })
  const turn = createTurns()
  const closing = new AbortController()

  async function verifyOne(
    candidate: Candidate,
    input: SubjectInput,
    signal: AbortSignal,
  ): Promise<CandidateResult> {
    if (candidate.bytes.length > INLINE_BYTES_MAX)
      return await pool.verify(toVerifyTask(candidate, input), signal)
    const steps = verificationSteps(candidate, input)
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one slice after the other is the point
      await turn()
      assertWanted(signal)
      const step = steps.next()
      if (step.done === true) return step.value
      if (step.value > SLICE_US_MAX) break
    }
    return await pool.verify(toVerifyTask(candidate, input), signal)
  }

  return {
    async verify(candidates, input, signal) {
      const either = AbortSignal.any([signal, closing.signal])
      assertWanted(either)
      const results = await Promise.allSettled(
        candidates.map((candidate) => verifyOne(candidate, input, either)),
      )
      assertWanted(either)
      return merge(results)
    },
    parseManifest: (bytes, contentType, signal) => {
      if (bytes.length <= INLINE_BYTES_MAX) return Promise.try(parseManifest, bytes, contentType)
      return parseInThread(pool, { bytes, contentType }, AbortSignal.any([signal, closing.signal]))
    },
    async close() {
      closing.abort(new WorkError('closed', 'the verifier is closing'))
      await pool.close()
    },
  }
}

function assertWanted(signal: AbortSignal): void {
  if (!signal.aborted) return
  const reason: unknown = signal.reason
  throw reason instanceof WorkError ? reason : new WorkError('aborted', 'verification was given up', reason)
}

async function parseInThread(
  pool: Pool,
  task: { readonly bytes: Buffer; readonly contentType: string | undefined },
  signal: AbortSignal,
): Promise<Manifest> {
  const result = await pool.manifest(task, signal)
  if (!result.ok) throw new ManifestError(result.code, result.message)
  return result.manifest
}

function merge(results: readonly PromiseSettledResult<CandidateResult>[]): VerificationOutcome {
  const finished = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const unfinished = results.flatMap((result) =>
    result.status === 'rejected' ? [asWorkError(result.reason)] : [],
  )
  const verified = finished.flatMap((result) => result.verified)
  const [first] = unfinished
  if (first !== undefined && verified.length === 0) throw first
  return { verified, failures: finished.flatMap((result) => result.failures), unfinished }
}

function asWorkError(error: unknown): WorkError {
  if (error instanceof WorkError) return error
  return new WorkError('crashed', error instanceof Error ? error.message : String(error), error)
}
