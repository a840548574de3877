import { Admissions } from './admissions.ts'
import { ColdSteps } from './cold-steps.ts'
import type { Config } from './config/schema.ts'
import type { Store } from './connect.ts'
import { createEpoch, type Epoch } from './epoch.ts'
import { Gate } from './gate.ts'
import { Judge, type JudgeDeps } from './judge.ts'
import type { Fresh } from './judge-fresh.ts'
import { ManifestError } from './oci/manifest-error.ts'
import { factsOf } from './oci/manifest-facts.ts'
import { OpenBudget, type OpenBudgetDeps } from './open-budget.ts'
import { patienceOf as patienceIn, type Patience } from './policy/patience.ts'
import type { Ring } from './policy/ring.ts'
import type { Mode } from './policy/types.ts'
import type { Peers } from './peers.ts'
import type { PoliciesInForce } from './policy-source/keeper.ts'
import { decisionSource } from './policy-source/source.ts'
import { Puller } from './pull.ts'
import { observeGate, observeRetiring } from './record/observe-gate.ts'
import { createRecorder } from './record/recorder.ts'
import type { PullSeen, RecentPulls } from './replay.ts'
import { rememberInRing, type InRing } from './rings/per-ring.ts'
import { Sightings, type JudgedPull } from './sightings.ts'
import type { TrustListener } from './trust/open.ts'
import type { LogLookUp } from './trust/rekor/look-up.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'
import { ManifestSource, type ManifestSourceDeps } from './upstream/manifest-source.ts'
import type { Upstreams } from './upstream/types.ts'
import { VerifiedBefore } from './verified-before.ts'
import type { Watch } from './watch.ts'
import { strictestMode } from './wiring.ts'
import type { VerificationRunner } from './work/runner.ts'

/** The epoch that requests begin in now: the policies in force, bound to the newest trust. */
export class CurrentEpoch {
  #policies: PoliciesInForce | undefined
  #epoch: Epoch | undefined

  /** From now on. What began before ends under what it began with. */
  begin(policies: PoliciesInForce, trust: TrustSnapshot): void {
    const { set, origin } = policies
    this.#policies = policies
    this.#epoch = createEpoch(set, trust, origin === undefined ? undefined : decisionSource(origin))
  }

  get(): Epoch {
    if (this.#epoch === undefined) throw new TypeError('no epoch has begun')
    return this.#epoch
  }

  /** The same listener, and every new snapshot begins an epoch. */
  following(listener: TrustListener): TrustListener {
    return {
      ...listener,
      onKeeper: (event) => {
        if (event.kind === 'changed' && this.#policies !== undefined)
          this.begin(this.#policies, event.snapshot)
        listener.onKeeper(event)
      },
    }
  }
}

export type CoreParts = {
  readonly watch: Watch
  readonly store: Store
  readonly current: CurrentEpoch
  readonly upstreams: Upstreams
  readonly runner: VerificationRunner
  readonly lookUp: LogLookUp | undefined
  readonly recent: RecentPulls
  /** Undefined: no other process has the store. */
  readonly peers: Peers | undefined
  readonly time: {
    readonly now: () => Date
    readonly elapsed: () => number
    readonly pause: () => Promise<void>
    readonly workLimit: () => AbortSignal
    readonly revalidationLimit: () => AbortSignal
    readonly limit: (ms: number) => AbortSignal
  }
}

/** What judges and what follows from it. */
export type Core = Fresh & {
  readonly manifests: ManifestSource
  readonly judge: Judge
  readonly gate: Gate
  readonly puller: Puller
  /** The same steps for those who only ask what a pull would come to. */
  readonly cold: ColdSteps
  readonly admissions: Admissions
  readonly modeOf: (repositoryName: string, ring: Ring) => Mode
  readonly inRing: InRing
  readonly sightings: Sightings
  /** A judge without memory. */
  readonly fresh: () => Fresh
  /** Writes what is only in memory. */
  readonly flush: () => void
}

export function createCore(config: Config, parts: CoreParts): Core {
  const { current, time, watch } = parts
  const { log, metrics } = watch
  const { content, state } = parts.store
  const epoch = (): Epoch => current.get()
  const gate = createGate(config, parts, epoch)
  const parse = manifestParser(parts)
  const common = {
    ...parts,
    ...time,
    ...config.cache,
    state,
    metrics,
    content,
    parse,
    epoch,
    gate,
    supportFor: parts.store.shared?.supportFor,
    isShared: parts.store.shared !== undefined,
  }
  const allowedForeignHosts = new Set(config.foreignUrls.allowedHosts)
  const judging = (judgingGate: JudgeDeps['gate']): { manifests: ManifestSource; judge: Judge } => {
    const manifests = new ManifestSource(common)
    return { manifests, judge: new Judge({ ...common, gate: judgingGate, manifests, allowedForeignHosts }) }
  }
  const { manifests, judge } = judging(gate)
  // What it finds out is told to nobody.
  const fresh = (): Fresh => judging({ peek: (...image) => gate.peek(...image), noteJudged: () => undefined })
  const recorder = createRecorder({ ...time, state, log, metrics })
  const inRing = rememberInRing()
  const { modeOf, patienceOf } = rulesOf(epoch)
  const cold = { ...time, metrics, manifests, judge, gate, modeOf, inRing, patienceOf }
  const onRetiring = observeRetiring(metrics)
  const sightings = createSightings(parts)
  const onPull = (pull: PullSeen & JudgedPull): void => {
    parts.recent.note(pull)
    sightings.note(pull)
  }
  return {
    manifests,
    judge,
    gate,
    puller: new Puller({ ...cold, manifests, judge, gate, state, recorder, onRetiring, onPull }),
    cold: new ColdSteps(cold),
    admissions: new Admissions({ ...common, judge, recorder, onError: (error) => watch.onError(error) }),
    modeOf,
    inRing,
    sightings,
    fresh,
    flush() {
      recorder.flush()
      gate.flush()
    },
  }
}

function createGate({ outages }: Config, { store, peers, time, watch }: CoreParts, epoch: () => Epoch): Gate {
  const { state, shared } = store
  const before = new VerifiedBefore({ ...time, ...outages, state })
  const others: OpenBudgetDeps['others'] =
    shared === undefined
      ? undefined
      : { ...shared, onJudged: (repository, digest, kind) => peers?.tell({ kind, repository, digest }) }
  const budget = new OpenBudget({ ...time, ...outages, state, others })
  peers?.onNews((news) => {
    if (news.kind !== 'refusal-document') budget.hear(news.repository, news.digest, news.kind)
  })
  const onEvent = observeGate(watch.metrics, watch.log)
  return new Gate({ ...time, epoch, state, before, budget, onEvent })
}

/** What the policies and revocations of a repository come to in a ring, now. */
function rulesOf(epoch: () => Epoch): Pick<Core, 'modeOf'> & {
  readonly patienceOf: (repositoryName: string, ring: Ring) => Patience
} {
  const rulesFor = (now: Epoch, name: string) => ({
    policies: now.matching(name),
    revocations: now.revoking(name),
  })
  return {
    modeOf(name, ring) {
      const now = epoch()
      return strictestMode(now.policies, rulesFor(now, name), ring)
    },
    patienceOf: (name, ring) => patienceIn(rulesFor(epoch(), name), ring),
  }
}

function createSightings({ store, time, watch }: CoreParts): Sightings {
  return new Sightings({
    state: store.state,
    nowMs: () => time.now().getTime(),
    pause: time.pause,
    onError: (error) => watch.onError(error),
    onLost: (pulls) => watch.metrics.pullsNotCounted.inc(pulls),
  })
}

/** A manifest that cannot be parsed is a fact about the image, for policy to judge; a worker that dies is not. */
function manifestParser({ runner, time }: Pick<CoreParts, 'runner' | 'time'>): ManifestSourceDeps['parse'] {
  return async (bytes, contentType) => {
    try {
      const manifest = await runner.parseManifest(bytes, contentType, time.workLimit())
      return { ok: true, facts: factsOf(manifest) }
    } catch (error) {
      if (error instanceof ManifestError) return { ok: false, message: error.message }
      throw error
    }
  }
}
