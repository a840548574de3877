import { ANNOTATION } from '../verify/cosign-layer.ts'
import type { Candidate, CandidateResult } from '../verify/types.ts'
import { verificationSteps, type SubjectInput } from '../verify/verify.ts'
import { createPool, type PoolOptions } from './pool.ts'
import { createVerifyTasks } from './task.ts'
import { createLanes, createTurns } from './turns.ts'
import { assertWanted } from './work-error.ts'

/** Verifies candidates without holding the event loop for long. */
export type CandidateVerifier = {
  /** Settles each for itself; those that did not finish with WorkError. */
  verifyAll(
    candidates: readonly Candidate[],
    input: SubjectInput,
    signal: AbortSignal,
  ): Promise<readonly PromiseSettledResult<CandidateResult>[]>
  close(): Promise<void>
}

/** The verifier has limits of its own between its steps. Nearly all bundles are smaller, SBOM attestations are not. */
const LIGHT_BYTES_MAX = 64 * 1024
/** The longest that one slice may hold the event loop, by the verifier's own estimate of the worst case. */
const SLICE_US_MAX = 20_000
/** Light ones that are verified here before they get a thread: where images are new only now and then, it is not worth its memory. */
const LIGHT_HERE_MAX = 8
/** Of one image in that thread, so that those of others come in between. */
const LIGHT_AT_ONCE = 4
/** Each takes some 2 ms: the last in the queue is still in time. */
const LIGHT_QUEUE_MAX = 4096

/**
 * Heavy and light ones each have a thread, since a heavy one takes a thousand times as long. Without a thread yet, light ones are
 * verified here, in slices between which everything else goes on.
 */
export function createCandidateVerifier(
  options: PoolOptions,
  makePool: typeof createPool = createPool,
): CandidateVerifier {
  const heavy = makePool(options)
  const light = makePool({ ...options, queueMax: Math.max(options.queueMax, LIGHT_QUEUE_MAX) })
  const toVerifyTask = createVerifyTasks()
  const turn = createTurns()
  let verifiedHere = 0

  async function verifyHere(
    candidate: Candidate,
    input: SubjectInput,
    signal: AbortSignal,
  ): Promise<CandidateResult | 'heavy'> {
    const steps = verificationSteps(candidate, input)
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one slice after the other is the point
      await turn()
      assertWanted(signal)
      const step = steps.next()
      if (step.done === true) return step.value
      if (step.value > SLICE_US_MAX) return 'heavy'
    }
  }

  async function verifyLight(
    candidate: Candidate,
    input: SubjectInput,
    signal: AbortSignal,
  ): Promise<CandidateResult | 'heavy'> {
    // Handing over a large manifest with each of its signatures would cost more than they do.
    if (isBare(candidate) || (input.artifact?.length ?? 0) > LIGHT_BYTES_MAX)
      return await verifyHere(candidate, input, signal)
    if (light.isReady()) {
      verifiedHere = 0
      return await light.run('verifyLight', toVerifyTask(candidate, input), signal)
    }
    if (++verifiedHere > LIGHT_HERE_MAX) light.wake()
    return await verifyHere(candidate, input, signal)
  }

  return {
    async verifyAll(candidates, input, signal) {
      const inLane = createLanes(LIGHT_AT_ONCE)
      const verifyOne = async (candidate: Candidate): Promise<CandidateResult> => {
        if (sizeOf(candidate) <= LIGHT_BYTES_MAX) {
          const result = await inLane(async () => await verifyLight(candidate, input, signal))
          if (result !== 'heavy') return result
        }
        return await heavy.run('verify', toVerifyTask(candidate, input), signal)
      }
      return await Promise.allSettled(candidates.map(verifyOne))
    },
    async close() {
      await Promise.all([heavy.close(), light.close()])
    },
  }
}

/** A signature and nothing else, as a key alone makes it: to verify it takes less than to hand it over. */
function isBare(candidate: Candidate): boolean {
  if (candidate.form === 'bundle' || (candidate.logEntries ?? []).length > 0) return false
  const said = Object.entries(candidate.annotations).filter(([, text]) => text !== '')
  return said.every(([name]) => name === ANNOTATION.signature)
}

/** The proof of a signature by cosign is in its annotations, and its payload is small. */
function sizeOf(candidate: Candidate): number {
  const annotations = candidate.form === 'bundle' ? [] : Object.values(candidate.annotations)
  const texts = [...annotations, ...(candidate.logEntries ?? [])]
  return texts.reduce((sum, text) => sum + text.length, candidate.bytes.length)
}
