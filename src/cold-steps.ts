import { causeOf } from './cause.ts'
import { DeadlineError } from './deadline.ts'
import type { EpochVersions } from './epoch.ts'
import type { Gate } from './gate.ts'
import type { Judge, Judged } from './judge.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type ManifestReference, type Repository } from './oci/reference.ts'
import type { Budget, Patience } from './policy/patience.ts'
import type { Ring } from './policy/ring.ts'
import type { Cause, Judgement, Mode } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import type { InRing } from './rings/per-ring.ts'
import { timed, type Timings } from './timings.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
import { BudgetError, withinBudgets, type Waiting } from './verify-budget.ts'

export type ColdStepsDeps = {
  manifests: Pick<ManifestSource, 'resolve' | 'inMemory'>
  judge: Pick<Judge, 'judge' | 'undetermined' | 'isHeldUpByVerifying' | 'stepOf'>
  gate: Pick<Gate, 'peek'>
  /** The strictest mode that any policy for the repository has in the ring. */
  modeOf(repositoryName: string, ring: Ring): Mode
  inRing: InRing
  patienceOf(repositoryName: string, ring: Ring): Patience
  /** Aborts after so many milliseconds. */
  limit: (ms: number) => AbortSignal
  /** Milliseconds, monotonic. */
  elapsed: () => number
  metrics: Pick<Metrics, 'stepDuration'>
}

/** What is asked for, and in which ring. */
export type Asked = {
  readonly repository: Repository
  readonly reference: ManifestReference
  readonly ring: Ring
}

/** What steps 3 to 7 come to. */
export type Found = EpochVersions & {
  readonly digest: Digest | undefined
  /** Undefined where the verdict is not about the manifest: it could not be had, or not in time. */
  readonly judged: Judged | undefined
  /** The same for all who ask. */
  readonly judgement: Judgement
  /** What it comes to in the ring of who asks. */
  readonly ruling: Judgement
  readonly ring: Ring
  readonly cache: 'warm' | 'cold'
  /** A budget ended the wait, and not the deadline: there is still time for the bytes. */
  readonly isEarly?: boolean
  /** Why nothing is judged; absent where something is. */
  readonly cause?: Cause
}

/** Steps 3 to 7 where something has to be waited for, as long as who asks has patience. */
export class ColdSteps {
  readonly #deps: ColdStepsDeps

  constructor(deps: ColdStepsDeps) {
    this.#deps = deps
  }

  /**
   * Rejects with UpstreamError where there is nothing to judge. What is found is timed in `timings`; `onWork` is told of
   * work that may go on when nobody waits for it any more.
   */
  async find(
    asked: Asked,
    deadline: AbortSignal,
    timings: Timings = {},
    onWork: (work: Promise<unknown>) => void = () => undefined,
  ): Promise<Found> {
    const { repository, reference, ring } = asked
    const { manifests, judge } = this.#deps
    const waiting = this.#waitingFor(asked, deadline)
    let digest: Digest | undefined
    try {
      // 3. resolve: a tag becomes a digest; a digest stays one.
      const resolving = timed('resolve', { ...this.#deps, timings }, () =>
        manifests.resolve(repository, reference),
      )
      onWork(resolving)
      digest = await withinBudgets(resolving, waiting(undefined))
      // 4. fetch, 5. discover, 6. verify, 7. decide: once for all who ask, and remembered.
      const judging = judge.judge(repository, digest)
      onWork(judging)
      return foundIn(await withinBudgets(judging, waiting(digest)), ring, this.#deps.inRing)
    } catch (error) {
      const cause = this.#causeOf(error, repository, digest)
      const isEnforced = this.#deps.modeOf(repositoryName(repository), ring) === 'enforce'
      // Nobody's rule is at stake and there is nothing to serve: then it is an error like any other.
      if (digest === undefined && !isEnforced) throw asUpstreamError(error, cause)
      const isEarly = error instanceof BudgetError
      return {
        ...this.#undetermined(asked, digest, cause),
        digest,
        judged: undefined,
        ring,
        cache: 'cold',
        isEarly,
        cause,
      }
    }
  }

  /**
   * The same once the bytes are there: what was ruled without them is held against them, for they tell what they are
   * guilty of, and under which digest they may be revoked.
   */
  heldAgainst(manifest: FetchedManifest, asked: Asked, found: Found): Found {
    const { digest, cause } = found
    return cause === undefined ? found : { ...found, ...this.#undetermined(asked, digest, cause, manifest) }
  }

  /** Budgets count from the request on, whichever step takes the time. */
  #waitingFor(
    { repository, ring, ...asked }: Asked,
    deadline: AbortSignal,
  ): (digest: Digest | undefined) => Waiting {
    const { elapsed, limit } = this.#deps
    const patience = this.#deps.patienceOf(repositoryName(repository), ring)
    const start = elapsed()
    const after = (ms: number): AbortSignal => limit(Math.max(0, start + ms - elapsed()))
    return (digest) => {
      const isHeldAfter = (budget: Budget): boolean =>
        this.#isHeld({ repository, ring, ...asked }, digest, passedBy(budget, patience))
      if (digest !== undefined) return { patience, deadline, after, isHeldAfter }
      // Without a digest there is nothing that could be served: only what would hold in any case is told early.
      const budgets = patience.isForShow ? [] : patience.budgets
      return { patience: { budgets, isLimited: false }, deadline, after, isHeldAfter }
    }
  }

  /** Whether one of these policies, were the image judged no further, would hold it. */
  #isHeld(asked: Asked, digest: Digest | undefined, policies: ReadonlySet<string>): boolean {
    const { repository } = asked
    const cause = this.#causeOf(new DeadlineError('late'), repository, digest)
    const { ruling } = this.#undetermined(asked, digest, cause)
    const results = ruling.results.filter(({ policy }) => policies.has(policy))
    if (digest === undefined) return results.some(({ stance }) => stance === 'closed')
    const isAtHand = this.#deps.manifests.inMemory(repository, digest) !== undefined
    return !isAtHand || this.#deps.gate.peek(repository, digest, { results }).kind !== 'serve'
  }

  #undetermined(
    { repository, ring }: Asked,
    digest: Digest | undefined,
    cause: Cause,
    manifest = digest === undefined ? undefined : this.#deps.manifests.inMemory(repository, digest),
  ): EpochVersions & Pick<Found, 'judgement' | 'ruling'> {
    const { judge, inRing } = this.#deps
    const undetermined = judge.undetermined(repository, digest, cause, manifest)
    return { ...undetermined, ruling: inRing(undetermined.judgement, ring) }
  }

  /** Whoever may push can make evidence that takes long: that is no outage, as evidence that is too large is none. */
  #causeOf(error: unknown, repository: Repository, digest: Digest | undefined): Cause {
    const cause = outageOf(error)
    if (!(error instanceof DeadlineError)) return cause
    const { judge } = this.#deps
    const step = digest === undefined ? 'resolve' : judge.stepOf(repository, digest)
    const late = { ...cause, message: `${cause.message}${step === undefined ? '' : `; slow step: ${step}`}` }
    const isSlow = digest !== undefined && judge.isHeldUpByVerifying(repository, digest)
    return isSlow ? { ...late, dependency: 'verifier' } : late
  }
}

export function foundIn(judged: Judged, ring: Ring, inRing: InRing, cache: Found['cache'] = 'cold'): Found {
  const { digest, judgement, policyVersion, policySource, trustVersion } = judged
  const ruling = inRing(judgement, ring)
  return { digest, judged, judgement, ruling, ring, policyVersion, policySource, trustVersion, cache }
}

function passedBy({ ms }: Budget, { budgets }: Patience): ReadonlySet<string> {
  return new Set(budgets.filter((budget) => budget.ms <= ms).map(({ policy }) => policy))
}

/** What could not be known, or the error itself where it is an answer about the image and not about the world. */
function outageOf(error: unknown): Cause {
  const cause = causeOf(error)
  if (cause === undefined) throw error
  if (!(error instanceof UpstreamError)) return cause
  if (error.code !== 'unavailable' && error.code !== 'timeout') throw error
  return { ...cause, message: `the manifest cannot be had: ${error.message}` }
}

/** For a request that no rule can be told about. */
export function asUpstreamError(error: unknown, cause: Cause): UpstreamError {
  return error instanceof UpstreamError
    ? error
    : new UpstreamError('timeout', cause.message, { cause: error })
}
