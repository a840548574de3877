import { refusalMessage, admissionText, warningText } from './policy/refusal.ts'
import { enforce } from './policy/decide.ts'
import type { RetiringKind } from './policy/retiring.ts'
import type { Outcome } from './policy/types.ts'
import type { Digest } from './oci/digest.ts'
import type { Repository } from './oci/reference.ts'
import { createDecision, rememberSummaries, type Decision } from './record/decision.ts'
import type { Recorder } from './record/recorder.ts'
import type { PullSeen } from './replay.ts'
import type { JudgedPull } from './sightings.ts'
import { PerRing } from './rings/per-ring.ts'
import { StoreError } from './store/error.ts'
import type { StateStore } from './store/types.ts'
import { timed } from './timings.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
import { causeOf } from './cause.ts'
import {
  asUpstreamError,
  ColdSteps,
  foundIn,
  type Asked,
  type ColdStepsDeps,
  type Found,
} from './cold-steps.ts'
import { withDeadline } from './deadline.ts'
import { isVouchedFor, type Gate } from './gate.ts'
import { closureFrom, type Closure } from './closure.ts'
import type { Judge, Judged } from './judge.ts'

export type PullRequest = Asked & {
  /** Address of who asks, for the record of what nobody could judge. */
  readonly client: string
  /** GET, not HEAD. */
  readonly isRead: boolean
  /** The caller's patience. Work that it interrupts goes on for the next request. */
  readonly deadline: () => AbortSignal
}

/** A pull that was answered from memory, for who asks the same once more. */
type Again = {
  /** Whether everything that the answer rests on is as it was: then it is the answer still. */
  readonly holds: () => boolean
  /** Counts it as a pull of its own. `client` as in PullRequest. */
  told(client: string): void
}

export type PullAnswer =
  | {
      readonly kind: 'serve'
      /** Absent where the next one must be looked at anew. */
      readonly again?: Again
      readonly manifest: FetchedManifest
      /** One line each: policies whose stance let it pass unjudged, and policies in observe mode that would have refused. */
      readonly warnings: readonly string[]
      readonly decision: Decision
      readonly outcome: Outcome
      readonly cache: 'warm' | 'cold'
    }
  | {
      readonly kind: 'refuse' | 'hold'
      readonly line: string
      readonly reasonPhrase: string
      readonly decision: Decision
      readonly outcome: Outcome
      readonly cache: 'warm' | 'cold'
    }

export type PullDeps = ColdStepsDeps & {
  manifests: Pick<ManifestSource, 'believed' | 'resolve' | 'inMemory' | 'fetch'>
  judge: ColdStepsDeps['judge'] & Pick<Judge, 'standing' | 'reconsider'>
  gate: Pick<Gate, 'outcome' | 'peek' | 'admit' | 'noteServed' | 'flush'>
  state: Pick<StateStore, 'addClosure' | 'written'>
  recorder: Omit<Recorder, 'flush'>
  /** Told once of each image that is satisfied only by what is being retired. */
  onRetiring(kinds: readonly RetiringKind[]): void
  /** Told of every pull. */
  onPull(pull: PullSeen & JudgedPull): void
}

type Concluded =
  | Exclude<PullAnswer, { kind: 'serve' }>
  | Omit<Extract<PullAnswer, { kind: 'serve' }>, 'manifest'>

/**
 * The way of a manifest from request to answer. Steps 1 (parse), 2 (route) and 10 (answer) belong to HTTP and stand in
 * app.ts; what is between them stands here. Rejects with UpstreamError where there is nothing to judge.
 */
export class Puller {
  readonly #deps: PullDeps
  readonly #cold: ColdSteps
  /** What was decided by a judgement last. By its id: the whole of it, for each verdict, would take more than the verdict. */
  readonly #settled = new PerRing<Judged, { outcome: Outcome['kind']; id: string }>()
  readonly #summaryOf = rememberSummaries()

  constructor(deps: PullDeps) {
    this.#deps = deps
    this.#cold = new ColdSteps(deps)
  }

  async pull(request: PullRequest): Promise<PullAnswer> {
    const warm = this.pullWarm(request)
    if (warm !== undefined) return warm
    return await timed('total', this.#deps, () => this.#pullCold(request))
  }

  async #pullCold(request: PullRequest): Promise<PullAnswer> {
    const signal = request.deadline()
    const { repository } = request
    const first = await this.#cold.find(request, signal)
    const manifest = await this.#manifestToRuleOn(repository, first, signal)
    const found = manifest === undefined ? first : this.#cold.heldAgainst(manifest, request, first)
    const concluded =
      this.#admitted(request, found, manifest) ?? this.#conclude(repository, found, manifest !== undefined)
    // What is satisfied for the first time must be known after a crash, with all that serving it again needs.
    this.#deps.gate.flush()
    await this.#deps.state.written()
    this.#told(request, found, concluded.kind)
    if (concluded.kind !== 'serve') return concluded
    // Only now: until it is written, whoever else asks has to wait for that, too.
    if (found.judged !== undefined) found.judged.closure = undefined
    return { ...concluded, manifest: manifest ?? (await this.#manifestOf(repository, found, signal)) }
  }

  /** The same, where nothing has to be waited for: everything is in memory. */
  pullWarm(request: Omit<PullRequest, 'deadline'>): PullAnswer | undefined {
    const { repository, reference, ring } = request
    const { manifests, judge } = this.#deps
    // Steps 3 to 7 from memory: no I/O, no crypto.
    const believed = manifests.believed(repository, reference)
    const standing = believed === undefined ? undefined : judge.standing(repository, believed.digest)
    if (believed === undefined || standing === undefined) return undefined
    const manifest = manifests.inMemory(repository, believed.digest)
    if (manifest === undefined) return undefined
    const found = foundIn(standing.judged, ring, this.#deps.inRing, 'warm')
    // Whoever asks for what it names may ask another process, and after a crash: the closure has to be written first.
    if (standing.judged.closure !== undefined && enforce(found.ruling).kind === 'serve') return undefined
    const concluded = this.#conclude(repository, found)
    this.#told(request, found, concluded.kind)
    if (concluded.kind !== 'serve') return concluded
    // What is malformed is kept for a moment only.
    if (!manifest.parsed.ok) return { ...concluded, manifest }
    const holds = (): boolean => believed.holds() && standing.holds()
    const told = (client: string): void => {
      this.#served(repository, standing.judged)
      this.#told({ ...request, client }, found, 'serve')
    }
    return { ...concluded, manifest, again: { holds, told } }
  }

  #told(request: Omit<PullRequest, 'deadline'>, { judged }: Found, outcome: Outcome['kind']): void {
    const { repository, reference, client, ring, isRead } = request
    const isServed = outcome === 'serve'
    this.#deps.onPull({ repository, reference, client, ring, isRead, judged, outcome, isServed })
  }

  /** By what is known alone: an undetermined verdict holds. `isSeen`: its bytes are at hand. */
  #conclude(repository: Repository, found: Found, isSeen = false): Concluded {
    // 8. enforce: on every request, so that a change of mode counts at once.
    const outcome = enforce(found.ruling)
    const decision = this.#settle(repository, found, outcome)
    const { cache, judged } = found
    if (outcome.kind === 'serve') {
      if (judged !== undefined) this.#served(repository, judged)
      const warnings = outcome.warnings.map((result) => warningText(result, decision.id))
      return { kind: 'serve', warnings, decision, outcome, cache }
    }
    // 9. record: a refusal is durable before its first byte leaves. What was never seen is no fact about an image.
    if (outcome.kind === 'refuse' && (isSeen || judged !== undefined)) this.#deps.recorder.record(decision)
    return { kind: outcome.kind, ...refusalMessage(outcome, decision.id), decision, outcome, cache }
  }

  #served(repository: Repository, { digest, judgement }: Judged): void {
    this.#deps.gate.noteServed(repository, digest, judgement)
  }

  /**
   * By what the stance of each policy, or mode observe, makes of an undetermined verdict; undefined where that is no serve.
   * Only bytes that are at hand are ever admitted, and an admission is on the disk before the first of them leaves.
   */
  #admitted(request: PullRequest, found: Found, manifest?: FetchedManifest): Concluded | undefined {
    const { repository, client } = request
    const { judgement, ruling, ring, cache } = found
    if (manifest === undefined) return undefined
    const { digest } = manifest
    const outcome = this.#deps.gate.outcome(repository, digest, ruling)
    if (outcome.kind !== 'serve') return undefined
    const { admitted } = outcome
    const decision = createDecision({ ...found, repository, digest, ring: ring.name }, ruling, outcome)
    const record = (): void => {
      // What was verified before is served from a broken disk too; what never was is not.
      if (!isVouchedFor(outcome)) this.#deps.recorder.record(decision)
      else if (admitted.length + outcome.warnings.length > 0) this.#deps.recorder.note(decision)
      this.#deps.recorder.announce(decision, found.judged?.timings ?? {})
    }
    let id: string
    try {
      const pulled = { repository, digest, judgement, admitted, decision: decision.id, client, ring }
      id = this.#deps.gate.admit(pulled, record)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#deps.recorder.unrecorded(decision, error)
      return undefined
    }
    this.#letIn(repository, digest, closureFrom(manifest))
    const warnings = [
      ...admitted.map((admission) => admissionText(admission, id)),
      ...outcome.warnings.map((result) => warningText(result, id)),
    ]
    return { kind: 'serve', warnings, decision: { ...decision, id }, outcome, cache }
  }

  /** Once for each judgement, ring and outcome: the decision, and for what is served the closure. */
  #settle(repository: Repository, found: Found, outcome: Outcome): Decision {
    const { judged, ruling, ring } = found
    const known = judged === undefined ? undefined : this.#settled.get(ring, judged)
    const subject = { ...found, repository, ring: ring.name }
    const summarise = this.#summaryOf
    if (known?.outcome === outcome.kind)
      return createDecision(subject, ruling, outcome, { summarise, id: known.id })
    const decision = createDecision(subject, ruling, outcome, { summarise })
    this.#deps.recorder.announce(decision, judged?.timings ?? {})
    if (judged === undefined) return decision
    if (outcome.kind === 'serve') {
      if (judged.closure !== undefined) this.#letIn(repository, judged.digest, judged.closure)
      if (judged.retiring.length > 0) this.#deps.onRetiring(judged.retiring)
      if (outcome.warnings.length > 0) this.#deps.recorder.note(decision)
    }
    this.#settled.set(ring, judged, { outcome: outcome.kind, id: decision.id })
    return decision
  }

  /** From now on this repository may serve what the manifest names, as long as the manifest itself is let through. */
  #letIn(repository: Repository, digest: Digest, closure: Closure): void {
    this.#deps.state.addClosure(repository, digest, closure)
    // A child that was asked for before its index was known is judged again.
    this.#deps.judge.reconsider(repository, closure.children)
  }

  /** The bytes, where what they are or that they are there counts still; undefined where the ruling stands as it is. */
  async #manifestToRuleOn(
    repository: Repository,
    found: Found,
    signal: AbortSignal,
  ): Promise<FetchedManifest | undefined> {
    const { kind } = enforce(found.ruling)
    if (found.judged !== undefined && kind !== 'hold') return undefined
    return kind === 'serve'
      ? await this.#manifestOf(repository, found, signal)
      : await this.#manifestAtHand(repository, found, signal)
  }

  /** The bytes of an image that nobody could judge, where they need no registry that may be what is missing. */
  async #manifestAtHand(
    repository: Repository,
    { digest, judged }: Found,
    signal: AbortSignal,
  ): Promise<FetchedManifest | undefined> {
    if (digest === undefined) return undefined
    const manifest = this.#deps.manifests.inMemory(repository, digest)
    if (manifest !== undefined || judged === undefined) return manifest
    try {
      return await withDeadline(this.#deps.manifests.fetch(repository, digest), signal)
    } catch (error) {
      if (causeOf(error) === undefined) throw error
      return undefined
    }
  }

  /** In observe mode a verdict that is late or impossible delays nobody: bytes that are at hand are enough. */
  async #manifestOf(repository: Repository, found: Found, signal: AbortSignal): Promise<FetchedManifest> {
    const { digest, judged, cause, isEarly = false } = found
    if (digest === undefined) throw new UpstreamError('unavailable', 'the tag could not be resolved')
    const manifest = this.#deps.manifests.inMemory(repository, digest)
    if (manifest !== undefined) return manifest
    if (judged !== undefined) return await this.#deps.manifests.fetch(repository, digest)
    // A budget is about the verdict: the bytes have as long as the pull.
    if (isEarly) return await inTime(this.#deps.manifests.fetch(repository, digest), signal)
    throw new UpstreamError('unavailable', cause?.message ?? 'the manifest could not be had')
  }
}

async function inTime(reading: Promise<FetchedManifest>, deadline: AbortSignal): Promise<FetchedManifest> {
  try {
    return await withDeadline(reading, deadline)
  } catch (error) {
    const cause = causeOf(error)
    throw cause === undefined ? error : asUpstreamError(error, cause)
  }
}
