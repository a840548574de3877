import { Admissions } from './admissions.ts'
import type { Config } from './config/schema.ts'
import type { Store } from './connect.ts'
import { createEpoch, type Epoch } from './epoch.ts'
import { Gate } from './gate.ts'
import { Judge, type JudgeDeps } from './judge.ts'
import type { Fresh } from './judge-fresh.ts'
import { ManifestError } from './oci/manifest-error.ts'
import { OpenBudget } from './open-budget.ts'
import type { Ring } from './policy/ring.ts'
import type { Mode } from './policy/types.ts'
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
  readonly time: {
    readonly now: () => Date
    readonly elapsed: () => number
    readonly pause: () => Promise<void>
    readonly workLimit: () => AbortSignal
    readonly revalidationLimit: () => AbortSignal
  }
}

/** What judges and what follows from it. */
export type Core = Fresh & {
  readonly judge: Judge
  readonly gate: Gate
  readonly puller: Puller
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
  const before = new VerifiedBefore({ ...time, ...config.outages, state })
  const budget = new OpenBudget({ ...time, ...config.outages, state })
  const gate = new Gate({ ...time, epoch, state, before, budget, onEvent: observeGate(metrics, log) })
  const parse = manifestParser(parts)
  const common = { ...parts, ...time, ...config.cache, state, metrics, content, parse, epoch, gate }
  const allowedForeignHosts = new Set(config.foreignUrls.allowedHosts)
  const judging = (judgingGate: JudgeDeps['gate']): { manifests: ManifestSource; judge: Judge } => {
    const manifests = new ManifestSource(common)
    return { manifests, judge: new Judge({ ...common, gate: judgingGate, manifests, allowedForeignHosts }) }
  }
  const { manifests, judge } = judging(gate)
  // What it finds out is told to nobody.
  const fresh = (): Fresh => judging({ peek: (...image) => gate.peek(...image), noteJudged: () => undefined })
  const recorder = createRecorder({ state, log, metrics, now: time.now })
  const modeOf = (name: string, ring: Ring): Mode => {
    const now = epoch()
    const rules = { policies: now.matching(name), revocations: now.revoking(name) }
    return strictestMode(now.policies, rules, ring)
  }
  const inRing = rememberInRing()
  const onRetiring = observeRetiring(metrics)
  const sightings = new Sightings({
    state,
    nowMs: () => time.now().getTime(),
    pause: time.pause,
    onError: (error) => watch.onError(error),
    onLost: (pulls) => metrics.pullsNotCounted.inc(pulls),
  })
  const onPull = (pull: PullSeen & JudgedPull): void => {
    parts.recent.note(pull)
    sightings.note(pull)
  }
  return {
    manifests,
    judge,
    gate,
    puller: new Puller({ manifests, judge, gate, state, recorder, onRetiring, onPull, modeOf, inRing }),
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

/** A manifest that cannot be parsed is a fact about the image, for policy to judge; a worker that dies is not. */
function manifestParser({ runner, time }: Pick<CoreParts, 'runner' | 'time'>): ManifestSourceDeps['parse'] {
  return async (bytes, contentType) => {
    try {
      return { ok: true, manifest: await runner.parseManifest(bytes, contentType, time.workLimit()) }
    } catch (error) {
      if (error instanceof ManifestError) return { ok: false, message: error.message }
      throw error
    }
  }
}
