import { causeOf } from './cause.ts'
import { mapBounded } from './discover/map-bounded.ts'
import type { Gate } from './gate.ts'
import type { Judge } from './judge.ts'
import type { Finding } from './open-budget.ts'
import { enforce } from './policy/decide.ts'
import { mostTelling } from './policy/reasons.ts'
import { DEFAULT_RING } from './policy/ring.ts'
import type { Judgement, PolicyResult } from './policy/types.ts'
import { createDecision } from './record/decision.ts'
import type { Recorder } from './record/recorder.ts'
import type { StateStore, StoredAdmission } from './store/types.ts'
import { UpstreamError } from './upstream/types.ts'

export type AdmissionsDeps = {
  state: Pick<StateStore, 'openAdmissions'>
  judge: Pick<Judge, 'judge'>
  gate: Pick<Gate, 'noteServed' | 'noteWaiting' | 'close' | 'flush'>
  recorder: Pick<Recorder, 'record' | 'announce'>
  now: () => Date
  onError(error: unknown): void
}

type Review =
  | Pick<Finding, 'verdict' | 'reason'>
  | { readonly verdict: 'undetermined'; readonly isOutage: boolean }

const PARALLEL_MAX = 4
/** Reviews without an outage after which an image that still cannot be judged counts as one that never can. */
const UNJUDGEABLE_AFTER = 3

/** Judges again what stance `open` let pass, as soon as that is possible, and alerts to what should not have been. */
export class Admissions {
  readonly #deps: AdmissionsDeps
  /** Reviews so far that came to nothing, by id; those without an outage apart. */
  readonly #tries = new Map<number, { all: number; withoutOutage: number }>()
  #running: Promise<void> | undefined

  constructor(deps: AdmissionsDeps) {
    this.#deps = deps
  }

  /** Reviews what waits. To be called every few seconds; while a run is under way there is no second one. */
  async run(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#run(signal).finally(() => {
      this.#running = undefined
    })
    await this.#running
  }

  async #run(signal: AbortSignal): Promise<void> {
    const open = this.#deps.state.openAdmissions()
    this.#deps.gate.noteWaiting(open)
    const ids = new Set(open.map(({ id }) => id))
    for (const id of this.#tries.keys()) if (!ids.has(id)) this.#tries.delete(id)
    // Those that were tried least come first, so that one that never ends keeps nobody waiting.
    const queue = open.toSorted((a, b) => this.#triesOf(a).all - this.#triesOf(b).all)
    for (let start = 0; start < queue.length && !signal.aborted; start += PARALLEL_MAX) {
      const batch = queue.slice(start, start + PARALLEL_MAX)
      // oxlint-disable-next-line no-await-in-loop -- in turns, so that an outage that goes on is noticed soon
      const isClosed = await mapBounded(
        batch,
        PARALLEL_MAX,
        async (admission) => await this.#review(admission),
      )
      if (!isClosed.includes(true)) return
    }
  }

  #triesOf({ id }: StoredAdmission): { all: number; withoutOutage: number } {
    return this.#tries.get(id) ?? { all: 0, withoutOutage: 0 }
  }

  /** Whether the admission is closed now. */
  async #review(admission: StoredAdmission): Promise<boolean> {
    try {
      const review = await this.#judge(admission)
      if (review.verdict !== 'undetermined') {
        this.#close(admission, review)
        return true
      }
      const { all, withoutOutage } = this.#triesOf(admission)
      const tries = { all: all + 1, withoutOutage: review.isOutage ? 0 : withoutOutage + 1 }
      this.#tries.set(admission.id, tries)
      if (tries.withoutOutage < UNJUDGEABLE_AFTER) return false
      const reason = 'it cannot be judged, though nothing is missing that is needed for it'
      this.#close(admission, { verdict: 'violated', reason })
      return true
    } catch (error) {
      // A disk that refuses leaves the admission as it is, and the next run tells of it again.
      this.#deps.onError(error)
      return false
    }
  }

  async #judge(admission: StoredAdmission): Promise<Review> {
    const { repository, digest } = admission
    try {
      const judged = await this.#deps.judge.judge(repository, digest)
      const { judgement } = judged
      const review = reviewOf(judgement, admission)
      if (review.verdict === 'undetermined') return review
      if (review.verdict === 'satisfied') {
        this.#deps.gate.noteServed(repository, digest, judgement)
        this.#deps.gate.flush()
        return review
      }
      // Nobody asks, so it is about no ring: the strictest modes count.
      const subject = { ...judged, repository, ring: DEFAULT_RING }
      const decision = createDecision(subject, judgement, enforce(judgement))
      this.#deps.recorder.announce(decision, judged.timings)
      this.#deps.recorder.record(decision)
      return review
    } catch (error) {
      // An image that upstream answers is not there can never be judged; whoever has it should know.
      if (error instanceof UpstreamError && error.code === 'not-found')
        return { verdict: 'violated', reason: `it is gone: ${error.message}` }
      const cause = causeOf(error)
      if (cause === undefined) throw error
      return { verdict: 'undetermined', isOutage: cause.dependency !== 'verifier' }
    }
  }

  #close(admission: StoredAdmission, { verdict, reason }: Pick<Finding, 'verdict' | 'reason'>): void {
    this.#deps.gate.close(admission, { at: this.#deps.now(), verdict, reason })
  }
}

/** By the policies that let the image pass then, and by those that enforce now. */
function reviewOf({ results }: Judgement, { policies }: StoredAdmission): Review {
  const asked = results.filter(
    ({ policy, mode }) => mode === 'enforce' || (mode === 'observe' && policies.includes(policy)),
  )
  const violated = asked.find(({ verdict }) => verdict.kind === 'violated')
  if (violated !== undefined) return { verdict: 'violated', reason: reasonOf(violated) }
  const causes = asked.flatMap(({ verdict }) => (verdict.kind === 'undetermined' ? verdict.causes : []))
  if (causes.length > 0) {
    return { verdict: 'undetermined', isOutage: causes.some(({ dependency }) => dependency !== 'verifier') }
  }
  const names = asked.map(({ policy }) => policy).join(', ')
  return { verdict: 'satisfied', reason: names === '' ? 'no policy asks for it any more' : `by ${names}` }
}

function reasonOf({ policy, verdict }: PolicyResult): string {
  const reason = verdict.kind === 'violated' ? mostTelling(verdict.reasons) : undefined
  return reason === undefined ? policy : `${policy}: found ${reason.found}, expected ${reason.expected}`
}
