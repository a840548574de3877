import { refusalMessage, warningText } from './policy/refusal.ts'
import { enforce } from './policy/decide.ts'
import type { Cause, Judgement, Mode, Outcome } from './policy/types.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type ManifestReference, type Repository } from './oci/reference.ts'
import { createDecision, type Decision } from './record/decision.ts'
import type { Recorder } from './record/recorder.ts'
import type { StateStore } from './store/types.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
import { DeadlineError, withDeadline } from './deadline.ts'
import type { Judge, Judged } from './judge.ts'
import { WorkError } from './work/work-error.ts'

export type PullRequest = {
  readonly repository: Repository
  readonly reference: ManifestReference
  /** The caller's patience. Work that it interrupts goes on for the next request. */
  readonly deadline: () => AbortSignal
}

export type PullAnswer =
  | {
      readonly kind: 'serve'
      readonly manifest: FetchedManifest
      /** One line each: policies in observe mode that would have refused. */
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
  manifests: ManifestSource
  judge: Judge
  state: Pick<StateStore, 'addClosure'>
  recorder: Recorder
  policyVersion: string
  trustVersion: string
  /** The strictest mode of any policy for the repository. */
  modeOf(repositoryName: string): Mode
}

type Concluded =
  | Exclude<PullAnswer, { kind: 'serve' }>
  | Omit<Extract<PullAnswer, { kind: 'serve' }>, 'manifest'>

/** What steps 3 to 7 come to. */
type Found = {
  readonly digest: Digest | undefined
  /** Undefined where the verdict is not about the manifest: it could not be had, or not in time. */
  readonly judged: Judged | undefined
  readonly judgement: Judgement
  readonly cache: 'warm' | 'cold'
}

/**
 * The way of a manifest from request to answer. Steps 1 (parse), 2 (route) and 10 (answer) belong to HTTP and stand in
 * app.ts; what is between them stands here. Rejects with UpstreamError where there is nothing to judge.
 */
export class Puller {
  readonly #deps: PullDeps
  /** What follows from a judgement is worked out once, not on every warm request. */
  readonly #settled = new WeakMap<Judged, { outcome: Outcome['kind']; decision: Decision }>()

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  async pull(request: PullRequest): Promise<PullAnswer> {
    const warm = this.pullWarm(request)
    if (warm !== undefined) return warm
    const found = await this.#findCold(request)
    const concluded = this.#conclude(request.repository, found)
    if (concluded.kind !== 'serve') return concluded
    return { ...concluded, manifest: await this.#manifestOf(request.repository, found) }
  }

  /** The same, where nothing has to be waited for: everything is in memory. */
  pullWarm({ repository, reference }: Pick<PullRequest, 'repository' | 'reference'>): PullAnswer | undefined {
    const found = this.#findWarm(repository, reference)
    const digest = found?.digest
    const manifest = digest === undefined ? undefined : this.#deps.manifests.inMemory(repository, digest)
    if (found === undefined || manifest === undefined) return undefined
    const concluded = this.#conclude(repository, found)
    return concluded.kind === 'serve' ? { ...concluded, manifest } : concluded
  }

  #conclude(repository: Repository, found: Found): Concluded {
    // 8. enforce: on every request, so that a change of mode counts at once.
    const outcome = enforce(found.judgement)
    const decision = this.#settle(repository, found, outcome)
    const { cache } = found
    if (outcome.kind === 'serve') {
      const warnings = outcome.warnings.map((result) => warningText(result, decision.id))
      return { kind: 'serve', warnings, decision, outcome, cache }
    }
    // 9. record: a refusal is durable before its first byte leaves. What was never seen is no fact about an image.
    if (outcome.kind === 'refuse' && found.judged !== undefined) this.#deps.recorder.record(decision)
    return { kind: outcome.kind, ...refusalMessage(outcome, decision.id), decision, outcome, cache }
  }

  /** Steps 3 to 7 from memory: no I/O, no crypto. */
  #findWarm(repository: Repository, reference: ManifestReference): Found | undefined {
    const digest = this.#deps.manifests.resolved(repository, reference)
    const judged = digest === undefined ? undefined : this.#deps.judge.known(repository, digest)
    return judged === undefined ? undefined : { digest, judged, judgement: judged.judgement, cache: 'warm' }
  }

  async #findCold({ repository, reference, deadline }: PullRequest): Promise<Found> {
    const signal = deadline()
    let digest: Digest | undefined
    try {
      // 3. resolve: a tag becomes a digest; a digest stays one.
      digest = await withDeadline(this.#deps.manifests.resolve(repository, reference), signal)
      // 4. fetch, 5. discover, 6. verify, 7. decide: once for all who ask, and remembered.
      const judged = await withDeadline(this.#deps.judge.judge(repository, digest), signal)
      return { digest, judged, judgement: judged.judgement, cache: 'cold' }
    } catch (error) {
      const cause = causeOf(error)
      const isEnforced = this.#deps.modeOf(repositoryName(repository)) === 'enforce'
      // Nobody's rule is at stake and there is nothing to serve: then it is an error like any other.
      if (digest === undefined && !isEnforced) throw asUpstreamError(error, cause)
      return {
        digest,
        judged: undefined,
        judgement: this.#deps.judge.undetermined(repository, cause),
        cache: 'cold',
      }
    }
  }

  /** Once for each judgement and outcome: the decision, and for what is served the closure. */
  #settle(repository: Repository, { digest, judged, judgement }: Found, outcome: Outcome): Decision {
    const known = judged === undefined ? undefined : this.#settled.get(judged)
    if (known?.outcome === outcome.kind) return known.decision
    const { policyVersion, trustVersion } = this.#deps
    const decision = createDecision({ repository, digest, policyVersion, trustVersion }, judgement, outcome)
    this.#deps.recorder.announce(decision, judged?.timings ?? {})
    if (judged === undefined) return decision
    if (outcome.kind === 'serve') {
      this.#letIn(repository, judged)
      if (outcome.warnings.length > 0) this.#deps.recorder.note(decision)
    }
    this.#settled.set(judged, { outcome: outcome.kind, decision })
    return decision
  }

  /** From now on this repository may serve what the manifest names, as long as the manifest itself is let through. */
  #letIn(repository: Repository, { digest, closure }: Judged): void {
    this.#deps.state.addClosure(repository, digest, closure)
    // A child that was asked for before its index was known is judged again.
    this.#deps.judge.reconsider(repository, closure.children)
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
function causeOf(error: unknown): Cause {
  if (error instanceof DeadlineError) return { dependency: 'deadline', message: error.message }
  if (error instanceof WorkError) return { dependency: 'verifier', message: error.message }
  if (!(error instanceof UpstreamError)) throw error
  if (error.code !== 'unavailable' && error.code !== 'timeout') throw error
  return { dependency: 'registry', message: error.message }
}

function asUpstreamError(error: unknown, cause: Cause): UpstreamError {
  return error instanceof UpstreamError
    ? error
    : new UpstreamError('timeout', cause.message, { cause: error })
}
