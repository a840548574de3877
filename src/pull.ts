import { refusalMessage, warningText } from './policy/refusal.ts'
import { enforce } from './policy/enforce.ts'
import type { Cause, Judgement, Mode, Outcome } from './policy/types.ts'
import type { Digest } from './oci/digest.ts'
import { closureOf } from './oci/manifest.ts'
import { repositoryName, type ManifestReference, type Repository } from './oci/reference.ts'
import { createDecision, type Decision } from './record/decision.ts'
import type { Recorder } from './record/recorder.ts'
import type { StateStore } from './store/types.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
import type { Judge, Judged } from './judge.ts'

export type PullRequest = {
  readonly repository: Repository
  readonly reference: ManifestReference
  /** The caller's patience. Work that it interrupts goes on for the next request. */
  readonly deadline: AbortSignal
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

export type Pull = (request: PullRequest) => Promise<PullAnswer>

/**
 * The way of a manifest from request to answer. Steps 1 (parse), 2 (route) and 10 (answer) belong to HTTP and stand in
 * app.ts; what is between them stands here. Rejects with UpstreamError where there is nothing to judge.
 */
export function createPull(deps: PullDeps): Pull {
  // What follows from a judgement is worked out once, not on every warm request.
  const settled = new WeakMap<Judged, { outcome: Outcome['kind']; decision: Decision }>()

  return async function pull({ repository, reference, deadline }) {
    let digest: Digest | undefined
    let judged: Judged | undefined
    let judgement: Judgement
    let cache: PullAnswer['cache'] = 'cold'
    try {
      // 3. resolve: a tag becomes a digest; a digest stays one.
      digest = await withDeadline(deps.manifests.resolve(repository, reference), deadline)
      judged = deps.judge.known(repository, digest)
      if (judged !== undefined) cache = 'warm'
      // 4. fetch, 5. discover, 6. verify, 7. decide: once for all who ask, and remembered.
      judged ??= await withDeadline(deps.judge.judge(repository, digest), deadline)
      judgement = judged.judgement
    } catch (error) {
      judgement = deps.judge.undetermined(repository, causeOf(error))
      if (deps.modeOf(repositoryName(repository)) !== 'enforce' && digest === undefined) throw error
    }
    // 8. enforce: on every request, so that a change of mode counts at once.
    const outcome = enforce(judgement)
    const decision = settle(judged, outcome, () => decisionOf(repository, digest, judgement, outcome))
    if (outcome.kind !== 'serve') {
      // 9. record: a refusal is durable before its first byte leaves. A hold is no fact about the image; it is logged.
      if (outcome.kind === 'refuse') deps.recorder.record(decision)
      return { kind: outcome.kind, ...refusalMessage(outcome, decision.id), decision, outcome, cache }
    }
    const manifest = judged?.manifest ?? (await fetchUnjudged(repository, digest))
    const warnings = outcome.warnings.map((result) => warningText(result, decision.id))
    return { kind: 'serve', manifest, warnings, decision, outcome, cache }
  }

  /** Runs `decide` for the first request of a judgement with this outcome, and lets its closure in. */
  function settle(judged: Judged | undefined, outcome: Outcome, decide: () => Decision): Decision {
    const known = judged === undefined ? undefined : settled.get(judged)
    if (known?.outcome === outcome.kind) return known.decision
    const decision = decide()
    if (judged === undefined) return decision
    if (outcome.kind === 'serve') letIn(decision.subject.repository, judged.manifest)
    settled.set(judged, { outcome: outcome.kind, decision })
    return decision
  }

  function decisionOf(
    repository: Repository,
    digest: Digest | undefined,
    judgement: Judgement,
    outcome: Outcome,
  ): Decision {
    const { policyVersion, trustVersion } = deps
    return createDecision({ repository, digest, policyVersion, trustVersion }, judgement, outcome)
  }

  /** From now on this repository may serve what the manifest names, as long as the manifest itself is let through. */
  function letIn(repository: Repository, manifest: FetchedManifest): void {
    if (manifest.parsed.ok) deps.state.addClosure(repository, manifest.digest, closureOf(manifest.parsed.manifest))
  }

  /** In observe mode a verdict that is late or impossible delays nobody: the bytes themselves are enough. */
  async function fetchUnjudged(repository: Repository, digest: Digest | undefined): Promise<FetchedManifest> {
    if (digest === undefined) throw new UpstreamError('unavailable', 'the tag could not be resolved')
    const manifest = await deps.manifests.fetch(repository, digest)
    letIn(repository, manifest)
    return manifest
  }
}

class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** Stops waiting, not working: the promise goes on for whoever asks next. */
async function withDeadline<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>()
  const onAbort = () => late.reject(new DeadlineError('not verified in time; the work goes on'))
  if (deadline.aborted) onAbort()
  deadline.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, late.promise])
  } finally {
    deadline.removeEventListener('abort', onAbort)
    late.promise.catch(() => undefined)
    work.catch(() => undefined)
  }
}

/** What could not be known, or the error itself where it is an answer about the image and not about the world. */
function causeOf(error: unknown): Cause {
  if (error instanceof DeadlineError) return { dependency: 'deadline', message: error.message }
  if (!(error instanceof UpstreamError)) throw error
  if (error.code !== 'unavailable' && error.code !== 'timeout') throw error
  return { dependency: 'registry', message: error.message }
}
