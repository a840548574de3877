import { closureFrom, type Closure } from './closure.ts'
import type { Epoch } from './epoch.ts'
import type { Gate } from './gate.ts'
import type { Judge, Judged } from './judge.ts'
import type { Digest } from './oci/digest.ts'
import type { ManifestReference, Repository } from './oci/reference.ts'
import type { Judgement } from './policy/types.ts'
import { SharedResults } from './shared-results.ts'
import type { SharedState } from './store/shared-state.ts'
import type { StateStore } from './store/types.ts'
import type { ManifestSource } from './upstream/manifest-source.ts'

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

/** An image that was let through, for another process that is asked for what it names. Plain data. */
export type HandedImage = {
  readonly digest: Digest
  readonly closure: Closure
  /** Where nobody could judge it: under what it was admitted, and the key of that epoch. */
  readonly admitted: { readonly epoch: string; readonly judgement: Judgement } | undefined
}

type HandedDeps = {
  readonly epoch: () => Epoch
  readonly gate: Pick<Gate, 'admittedLately' | 'noteAdmitted'>
  readonly judge: Pick<Judge, 'kept' | 'known' | 'reconsider'>
  readonly manifests: Pick<ManifestSource, 'inMemory'>
  readonly state: Pick<StateStore, 'getTag' | 'addClosure' | 'parentsOfBlob' | 'parentsOfManifest'>
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

  /** What judgements depend on now. */
  get epochKey(): string {
    return this.#deps.epoch().key
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

  /** Undefined where its bytes have left the memory meanwhile. */
  giveImage(repository: Repository, digest: Digest): HandedImage | undefined {
    const { gate, manifests } = this.#deps
    const manifest = manifests.inMemory(repository, digest)
    if (manifest === undefined) return undefined
    const { children, blobs, isEvidence } = closureFrom(manifest)
    const judgement = gate.admittedLately(repository, digest)
    const admitted = judgement === undefined ? undefined : { epoch: this.epochKey, judgement }
    return { digest, closure: { children, blobs, isEvidence }, admitted }
  }

  /** From now on it is as if this process had let it through: also where the disk of both refuses what it names. */
  takeImage(repository: Repository, { digest, closure, admitted }: HandedImage): void {
    const { gate, judge, state } = this.#deps
    if (!this.#isLetIn(repository, digest, closure)) state.addClosure(repository, digest, closure)
    judge.reconsider(repository, closure.children)
    if (admitted?.epoch === this.epochKey) gate.noteAdmitted(repository, digest, admitted.judgement)
  }

  /** By one of those that it names: they are written together. Nearly always, and to read it costs less than to write it twice. */
  #isLetIn(repository: Repository, parent: Digest, { children, blobs }: Closure): boolean {
    const { state } = this.#deps
    const [[child], [blob]] = [children, blobs]
    if (child !== undefined) return state.parentsOfManifest(repository, child).includes(parent)
    return blob !== undefined && state.parentsOfBlob(repository, blob).includes(parent)
  }

  /** What a tag stood for when somebody last asked its registry; whether it does still, whoever pulls it finds out. */
  #lastDigest(repository: Repository, reference: ManifestReference): Digest | undefined {
    if (reference.kind === 'digest') return reference.digest
    return this.#deps.state.getTag(repository, reference.tag)?.digest
  }
}
