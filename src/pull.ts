import { refusalMessage, admissionText, warningText } from './policy/refusal.ts'
import { enforce } from './policy/decide.ts'
import type { RetiringKind } from './policy/retiring.ts'
import type { Ring } from './policy/ring.ts'
import type { Cause, Judgement, Mode, Outcome } from './policy/types.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type ManifestReference, type Repository } from './oci/reference.ts'
import { createDecision, type Decision } from './record/decision.ts'
import type { Recorder } from './record/recorder.ts'
import type { PullSeen } from './replay.ts'
import type { JudgedPull } from './sightings.ts'
import { PerRing, type InRing } from './rings/per-ring.ts'
import { StoreError } from './store/error.ts'
import type { StateStore } from './store/types.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
import { causeOf } from './cause.ts'
import { DeadlineError, withDeadline } from './deadline.ts'
import type { EpochVersions } from './epoch.ts'
import { isVouchedFor, type Gate } from './gate.ts'
import { closureFrom, type Closure } from './closure.ts'
import type { Judge, Judged } from './judge.ts'

export type PullRequest = {
  readonly repository: Repository
  readonly reference: ManifestReference
  /** Address of who asks, for the record of what nobody could judge. */
  readonly client: string
  /** Of who asks: whose modes and stances count. */
  readonly ring: Ring
  /** GET, not HEAD. */
  readonly isRead: boolean
  /** The caller's patience. Work that it interrupts goes on for the next request. */
  readonly deadline: () => AbortSignal
}

export type PullAnswer =
  | {
      readonly kind: 'serve'
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

export type PullDeps = {
  manifests: Pick<ManifestSource, 'resolved' | 'resolve' | 'inMemory' | 'fetch'>
  judge: Pick<Judge, 'known' | 'judge' | 'reconsider' | 'undetermined' | 'isHeldUpByVerifying'>
  gate: Pick<Gate, 'outcome' | 'admit' | 'noteServed' | 'flush'>
  state: Pick<StateStore, 'addClosure'>
  recorder: Omit<Recorder, 'flush'>
  /** Told once of each image that is satisfied only by what is being retired. */
  onRetiring(kinds: readonly RetiringKind[]): void
  /** Told of every pull. */
  onPull(pull: PullSeen & JudgedPull): void
  /** The strictest mode that any policy for the repository has in the ring. */
  modeOf(repositoryName: string, ring: Ring): Mode
  inRing: InRing
}

type Concluded =
  | Exclude<PullAnswer, { kind: 'serve' }>
  | Omit<Extract<PullAnswer, { kind: 'serve' }>, 'manifest'>

/** What steps 3 to 7 come to. */
type Found = EpochVersions & {
  readonly digest: Digest | undefined
  /** Undefined where the verdict is not about the manifest: it could not be had, or not in time. */
  readonly judged: Judged | undefined
  /** The same for all who ask. */
  readonly judgement: Judgement
  /** What it comes to in the ring of who asks. */
  readonly ruling: Judgement
  readonly ring: Ring
  readonly cache: 'warm' | 'cold'
}

/**
 * The way of a manifest from request to answer. Steps 1 (parse), 2 (route) and 10 (answer) belong to HTTP and stand in
 * app.ts; what is between them stands here. Rejects with UpstreamError where there is nothing to judge.
 */
export class Puller {
  readonly #deps: PullDeps
  /** What follows from a judgement is worked out once, not on every warm request. */
  readonly #settled = new PerRing<Judged, { outcome: Outcome['kind']; decision: Decision }>()

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  async pull(request: PullRequest): Promise<PullAnswer> {
    const warm = this.pullWarm(request)
    if (warm !== undefined) return warm
    const signal = request.deadline()
    const found = await this.#findCold(request, signal)
    const isHeld = enforce(found.ruling).kind === 'hold'
    const manifest = isHeld ? await this.#manifestAtHand(request.repository, found, signal) : undefined
    const concluded = this.#admitted(request, found, manifest) ?? this.#conclude(request.repository, found)
    // What is satisfied for the first time must be known after a crash.
    this.#deps.gate.flush()
    this.#told(request, found, concluded.kind)
    if (concluded.kind !== 'serve') return concluded
    return { ...concluded, manifest: manifest ?? (await this.#manifestOf(request.repository, found)) }
  }

  /** The same, where nothing has to be waited for: everything is in memory. */
  pullWarm(request: Omit<PullRequest, 'deadline'>): PullAnswer | undefined {
    const { repository, reference, ring } = request
    const found = this.#findWarm(repository, reference, ring)
    const digest = found?.digest
    const manifest = digest === undefined ? undefined : this.#deps.manifests.inMemory(repository, digest)
    if (found === undefined || manifest === undefined) return undefined
    const concluded = this.#conclude(repository, found)
    this.#told(request, found, concluded.kind)
    return concluded.kind === 'serve' ? { ...concluded, manifest } : concluded
  }

  #told(request: Omit<PullRequest, 'deadline'>, { judged }: Found, outcome: Outcome['kind']): void {
    const { repository, reference, client, ring, isRead } = request
    const isServed = outcome === 'serve'
    this.#deps.onPull({ repository, reference, client, ring, isRead, judged, outcome, isServed })
  }

  /** By what is known alone: an undetermined verdict holds. */
  #conclude(repository: Repository, found: Found): Concluded {
    // 8. enforce: on every request, so that a change of mode counts at once.
    const outcome = enforce(found.ruling)
    const decision = this.#settle(repository, found, outcome)
    const { cache, judged } = found
    if (outcome.kind === 'serve') {
      if (judged !== undefined) this.#deps.gate.noteServed(repository, judged.digest, judged.judgement)
      const warnings = outcome.warnings.map((result) => warningText(result, decision.id))
      return { kind: 'serve', warnings, decision, outcome, cache }
    }
    // 9. record: a refusal is durable before its first byte leaves. What was never seen is no fact about an image.
    if (outcome.kind === 'refuse' && judged !== undefined) this.#deps.recorder.record(decision)
    return { kind: outcome.kind, ...refusalMessage(outcome, decision.id), decision, outcome, cache }
  }

  /**
   * By what the stance of each policy makes of an undetermined verdict; undefined where that is still a hold. Only bytes
   * that are at hand are ever admitted, and an admission is on the disk before the first of them leaves.
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
      if (isVouchedFor(outcome)) this.#deps.recorder.note(decision)
      else this.#deps.recorder.record(decision)
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

  /** Steps 3 to 7 from memory: no I/O, no crypto. */
  #findWarm(repository: Repository, reference: ManifestReference, ring: Ring): Found | undefined {
    const digest = this.#deps.manifests.resolved(repository, reference)
    const judged = digest === undefined ? undefined : this.#deps.judge.known(repository, digest)
    return judged === undefined ? undefined : this.#foundIn(judged, ring, 'warm')
  }

  async #findCold({ repository, reference, ring }: PullRequest, signal: AbortSignal): Promise<Found> {
    const { manifests, judge } = this.#deps
    let digest: Digest | undefined
    try {
      // 3. resolve: a tag becomes a digest; a digest stays one.
      digest = await withDeadline(manifests.resolve(repository, reference), signal)
      // 4. fetch, 5. discover, 6. verify, 7. decide: once for all who ask, and remembered.
      return this.#foundIn(await withDeadline(judge.judge(repository, digest), signal), ring, 'cold')
    } catch (error) {
      const cause = this.#causeOf(error, repository, digest)
      const isEnforced = this.#deps.modeOf(repositoryName(repository), ring) === 'enforce'
      // Nobody's rule is at stake and there is nothing to serve: then it is an error like any other.
      if (digest === undefined && !isEnforced) throw asUpstreamError(error, cause)
      const manifest = digest === undefined ? undefined : manifests.inMemory(repository, digest)
      const undetermined = judge.undetermined(repository, digest, cause, manifest)
      const ruling = this.#deps.inRing(undetermined.judgement, ring)
      return { ...undetermined, digest, judged: undefined, ruling, ring, cache: 'cold' }
    }
  }

  #foundIn(judged: Judged, ring: Ring, cache: Found['cache']): Found {
    const { digest, judgement, policyVersion, policySource, trustVersion } = judged
    const ruling = this.#deps.inRing(judgement, ring)
    return { digest, judged, judgement, ruling, ring, policyVersion, policySource, trustVersion, cache }
  }

  /** Whoever may push can make evidence that takes long: that is no outage, as evidence that is too large is none. */
  #causeOf(error: unknown, repository: Repository, digest: Digest | undefined): Cause {
    const cause = outageOf(error)
    if (!(error instanceof DeadlineError) || digest === undefined) return cause
    const isSlow = this.#deps.judge.isHeldUpByVerifying(repository, digest)
    return isSlow ? { ...cause, dependency: 'verifier' } : cause
  }

  /** Once for each judgement, ring and outcome: the decision, and for what is served the closure. */
  #settle(repository: Repository, found: Found, outcome: Outcome): Decision {
    const { judged, ruling, ring } = found
    const known = judged === undefined ? undefined : this.#settled.get(ring, judged)
    if (known?.outcome === outcome.kind) return known.decision
    const decision = createDecision({ ...found, repository, ring: ring.name }, ruling, outcome)
    this.#deps.recorder.announce(decision, judged?.timings ?? {})
    if (judged === undefined) return decision
    if (outcome.kind === 'serve') {
      this.#letIn(repository, judged.digest, judged.closure)
      if (judged.retiring.length > 0) this.#deps.onRetiring(judged.retiring)
      if (outcome.warnings.length > 0) this.#deps.recorder.note(decision)
    }
    this.#settled.set(ring, judged, { outcome: outcome.kind, decision })
    return decision
  }

  /** From now on this repository may serve what the manifest names, as long as the manifest itself is let through. */
  #letIn(repository: Repository, digest: Digest, closure: Closure): void {
    this.#deps.state.addClosure(repository, digest, closure)
    // A child that was asked for before its index was known is judged again.
    this.#deps.judge.reconsider(repository, closure.children)
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
  async #manifestOf(repository: Repository, { digest, judged, judgement }: Found): Promise<FetchedManifest> {
    if (digest === undefined) throw new UpstreamError('unavailable', 'the tag could not be resolved')
    const manifest = this.#deps.manifests.inMemory(repository, digest)
    if (manifest !== undefined) return manifest
    if (judged !== undefined) return await this.#deps.manifests.fetch(repository, digest)
    const causes = judgement.results.flatMap(({ verdict }) =>
      verdict.kind === 'undetermined' ? verdict.causes : [],
    )
    throw new UpstreamError('unavailable', causes[0]?.message ?? 'the manifest could not be had')
  }
}

/** What could not be known, or the error itself where it is an answer about the image and not about the world. */
function outageOf(error: unknown): Cause {
  const cause = causeOf(error)
  if (cause === undefined) throw error
  if (!(error instanceof UpstreamError)) return cause
  if (error.code !== 'unavailable' && error.code !== 'timeout') throw error
  return { ...cause, message: `the manifest cannot be had: ${error.message}` }
}

function asUpstreamError(error: unknown, cause: Cause): UpstreamError {
  return error instanceof UpstreamError
    ? error
    : new UpstreamError('timeout', cause.message, { cause: error })
}
