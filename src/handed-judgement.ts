import type { Epoch } from './epoch.ts'
import type { Judge, Judged } from './judge.ts'
import type { Digest } from './oci/digest.ts'
import type { ManifestReference, Repository } from './oci/reference.ts'
import { SharedResults } from './shared-results.ts'
import type { SharedState } from './store/shared-state.ts'
import type { StateStore } from './store/types.ts'

/** A judgement on its way to another process over the same store, so that it is not reached twice. Plain data. */
export type HandedJudgement = {
  /** Key of the epoch in which it was reached: in another one it counts for nothing. */
  readonly epoch: string
  readonly judged: Judged
  /** For how long it counts from now on, milliseconds; undefined: for good. */
  readonly forMs: number | undefined
  /** As in Kept. */
  readonly endsAtMs: number | undefined
  /** What spoke for the image when it was judged; undefined: nothing more could make it better. */
  readonly support: string | undefined
}

type HandedDeps = {
  readonly epoch: () => Epoch
  readonly judge: Pick<Judge, 'kept' | 'known'>
  readonly state: Pick<StateStore, 'getTag'>
  readonly supportFor: SharedState['supportFor']
  /** Milliseconds, monotonic. */
  readonly elapsed: () => number
}

/** What this process knows of judgements, told to another, and what another knows of them. */
export class HandedJudgements {
  readonly #deps: HandedDeps
  readonly #shared = new SharedResults()

  constructor(deps: HandedDeps) {
    this.#deps = deps
  }

  /** Whether it was judged before, so that a pull has little left to do. */
  isKnown(repository: Repository, reference: ManifestReference): boolean {
    const digest = this.#lastDigest(repository, reference)
    return digest !== undefined && this.#deps.judge.known(repository, digest) !== undefined
  }

  /** Undefined where nothing is known that counts beyond the request. */
  give(repository: Repository, reference: ManifestReference): HandedJudgement | undefined {
    const { judge, elapsed, supportFor } = this.#deps
    const digest = this.#lastDigest(repository, reference)
    if (digest === undefined) return undefined
    const epoch = this.#deps.epoch()
    // Before it is looked whether the judgement counts still: what speaks for the image since then is not in it.
    const support = supportFor(repository, digest)
    const kept = judge.kept.get({ epoch, repository, digest })
    if (kept === undefined) return undefined
    const { judged, until, endsAtMs, isOutdone } = kept
    const isLasting = isOutdone === undefined
    return {
      epoch: epoch.key,
      judged,
      forMs: until === undefined ? undefined : until - elapsed(),
      endsAtMs,
      support: isLasting ? undefined : support,
    }
  }

  /** From now on it is as if this process had reached it. */
  take(repository: Repository, { epoch: key, judged, forMs, endsAtMs, support }: HandedJudgement): void {
    const { judge, elapsed, supportFor } = this.#deps
    const epoch = this.#deps.epoch()
    // Policies or trust have changed on the way.
    if (key !== epoch.key) return
    const { digest, retiring } = judged
    const judgement = retiring.length > 0 ? judged.judgement : this.#shared.of(judged.judgement, epoch)
    const isOutdone = support === undefined ? undefined : () => supportFor(repository, digest) !== support
    judge.kept.set(
      { epoch, repository, digest },
      {
        judged: { ...judged, judgement },
        until: forMs === undefined ? undefined : elapsed() + forMs,
        endsAtMs,
        isOutdone,
      },
    )
  }

  /** What a tag stood for when somebody last asked its registry; whether it does still, whoever pulls it finds out. */
  #lastDigest(repository: Repository, reference: ManifestReference): Digest | undefined {
    if (reference.kind === 'digest') return reference.digest
    return this.#deps.state.getTag(repository, reference.tag)?.digest
  }
}
