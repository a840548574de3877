import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AdminDeps } from './admin.ts'
import type { AppDeps } from './app.ts'
import { createBlobService } from './blob.ts'
import type { Config } from './config/schema.ts'
import { connectLogs, connectUpstreams, openStore, type Store } from './connect.ts'
import { Drills } from './drill.ts'
import { createCore, CurrentEpoch, type Core } from './core.ts'
import { openPolicies } from './policies.ts'
import type { PolicyKeeper } from './policy-source/keeper.ts'
import type { Puller } from './pull.ts'
import type { Logger } from './record/log.ts'
import { observePull } from './record/observe-pull.ts'
import { createJudgeFresh } from './judge-fresh.ts'
import { RecentPulls } from './replay.ts'
import { compileRings, type Rings } from './rings/recognise.ts'
import { noteStages, ringOrder } from './rollout/stages.ts'
import { ManifestRoute, type ManifestRouteDeps } from './routes/manifest.ts'
import { createReferrersRoute } from './routes/referrers.ts'
import { StoreError } from './store/error.ts'
import { openTrust, type OpenTrust } from './trust/open.ts'
import { TrustError } from './trust/trust-error.ts'
import { createRouter } from './upstream/route.ts'
import { createWatch, type Watch } from './watch.ts'
import { loadListeners, routeTable, tufRepositories, type DataListener } from './wiring.ts'
import { createVerificationRunner, type VerificationRunner } from './work/runner.ts'

/** Everything that runs, built once from the configuration. Nothing else in the project makes one of these. */
export type Deps = {
  readonly app: AppDeps
  readonly admin: Omit<AdminDeps, 'readiness'>
  readonly puller: Puller
  readonly log: Logger
  readonly policies: PolicyKeeper
  readonly trust: OpenTrust['keeper']
  /** Where clients pull; `listen.data` first. */
  readonly listeners: readonly DataListener[]
  readonly rings: Rings
  close(): Promise<void>
}

export type DepsResult =
  | { readonly ok: true; readonly deps: Deps }
  | { readonly ok: false; readonly problems: readonly string[] }

/** Work that outlives the request that began it: a slow registry and a large attestation fit, a hanging one does not. */
const WORK_LIMIT_MS = 60_000
/** A known tag waits this long for its registry, which answers a HEAD in a tenth of it. */
const REVALIDATION_LIMIT_MS = 2_000
/** How often counts of repeated refusals, and what was verified, are written. */
const FLUSH_INTERVAL_MS = 10_000
/** How often it is looked whether something of trust is due or has ended. */
const TRUST_INTERVAL_MS = 5_000
/** How often policies that were never had are asked for: until then every image is held. */
const HELD_INTERVAL_MS = 5_000
/** What was never had is asked for before the first request, but no longer than this. */
const FIRST_TRUST_LIMIT_MS = 5_000

/** Builds everything or nothing: what is wrong with trust, policies or the data directory comes back in words. */
export async function createDeps(config: Config): Promise<DepsResult> {
  try {
    return await open(config)
  } catch (error) {
    if (error instanceof StoreError || error instanceof TrustError)
      return { ok: false, problems: [error.message] }
    throw error
  }
}

/** The clocks and limits of the real world. Everything below this file is given them. */
const TIME = {
  now: readClock(),
  elapsed: () => performance.now(),
  pause: async () => await nextTurn(),
  workLimit: () => AbortSignal.timeout(WORK_LIMIT_MS),
  revalidationLimit: () => AbortSignal.timeout(REVALIDATION_LIMIT_MS),
}

/** One Date a millisecond, for all who ask in it: nobody changes it. */
function readClock(): () => Date {
  let now = new Date()
  return () => {
    const ms = Date.now()
    if (ms !== now.getTime()) now = new Date(ms)
    return now
  }
}

/** What was opened is closed again where something after it fails. */
async function open(config: Config): Promise<DepsResult> {
  const watch = createWatch(config, TIME.now)
  const drills = new Drills({ now: TIME.now, onEvent: (event) => watch.onDrill(event) })
  const rings = compileRings(config.rings)
  const listeners = await loadListeners(config, rings)
  await using opened = new AsyncDisposableStack()
  opened.defer(() => watch.flush())
  const store = await openStore(config, watch, TIME.now)
  opened.defer(() => store.unlock())
  opened.defer(() => store.state.close())
  opened.defer(async () => await store.content.close())
  const current = new CurrentEpoch()
  const trust = await openTrust(config, {
    references: [],
    listener: current.following(watch.trustListener),
    guard: (dependency) => drills.guard(dependency),
    now: TIME.now,
    elapsed: TIME.elapsed,
    random: Math.random,
  })
  opened.defer(async () => await trust.close())
  if (config.trust.refresh === 'on') {
    await trust.keeper.refresh('missing', AbortSignal.timeout(FIRST_TRUST_LIMIT_MS))
  }
  const upstreams = connectUpstreams(config, watch, drills)
  opened.defer(async () => await upstreams.close())
  const runner = createVerificationRunner()
  opened.defer(async () => await runner.close())
  const policies = await openPolicies(config, {
    trust,
    upstreams,
    runner,
    current,
    watch,
    now: TIME.now,
    noteStages: (set) => noteStages(set, TIME.now(), { rings: ringsInOrder(config), state: store.state }),
  })
  if (!policies.ok) return policies
  const parts = { watch, drills, store, trust, current, upstreams, runner, policies: policies.keeper }
  return { ok: true, deps: build(config, { ...parts, listeners, rings }, opened.move()) }
}

type Opened = {
  readonly watch: Watch
  readonly drills: Drills
  readonly store: Store
  readonly trust: OpenTrust
  readonly current: CurrentEpoch
  readonly upstreams: ReturnType<typeof connectUpstreams>
  readonly runner: VerificationRunner
} & Pick<Deps, 'listeners' | 'rings' | 'policies'>

function build(config: Config, opened: Opened, closing: AsyncDisposableStack): Deps {
  const { watch, drills, trust, current, store, upstreams, runner, policies, ...doors } = opened
  const { log, metrics } = watch
  const { content, state } = store
  const logs = connectLogs(config, watch, { drills, state })
  closing.defer(async () => await logs.close())
  const recent = new RecentPulls(Date.now)
  const core = createCore(config, {
    watch,
    store,
    current,
    upstreams,
    runner,
    lookUp: logs.lookUp,
    recent,
    time: TIME,
  })
  const { gate, puller, modeOf } = core
  const blobs = createBlobService({ content, onEvent: ({ kind }) => metrics.blobReads.inc({ kind }) })
  const deadline = () => AbortSignal.timeout(config.deadlines.pullMs)
  closing.defer(async () => await blobs.close())
  closing.defer(() => core.flush())
  closing.defer(() => core.sightings.flush())
  const keeping = keepUp(config, opened, core)
  closing.defer(async () => await keeping.stop())
  watch.trust.watch(() => trust.keeper.status())

  return {
    app: {
      ...watch,
      router: createRouter(routeTable(config), config.defaultUpstream ?? undefined),
      manifest: new ManifestRoute({ ...config.refusals, ...watching(watch), puller, modeOf, deadline }),
      blob: { ...core, blobs, state, metrics, runner, deadline, upstreams: config.upstreams },
      referrers: createReferrersRoute({ runner, workLimit: deadline }),
      tuf: tufRepositories(config, trust),
      logEntries: state,
      upstreams,
      deadline,
      elapsed: TIME.elapsed,
      now: TIME.now,
    },
    admin: {
      metrics,
      names: new Set(config.listen.admin.names),
      trust: trust.keeper,
      policies,
      rollout: rolloutOf(config, opened, core),
      drill: { drills, recent, judgeFresh: createJudgeFresh(core.fresh, gate), replayLimit: TIME.workLimit },
    },
    puller,
    log,
    policies,
    trust: trust.keeper,
    ...doors,
    close: async () => await closing.disposeAsync(),
  }
}

function ringsInOrder({ rings }: Config): readonly string[] {
  return ringOrder(rings.map(({ name }) => name))
}

function rolloutOf(config: Config, { policies, store }: Opened, { sightings }: Core): AdminDeps['rollout'] {
  return {
    policies: () => policies.inForce.set,
    rings: ringsInOrder(config),
    state: store.state,
    settle: async () => await sightings.write(),
    now: TIME.now,
    pause: TIME.pause,
  }
}

/** What goes on beside requests: trust is renewed, what was let pass is judged again, what is only in memory is written. */
function keepUp(
  config: Config,
  { watch, trust, policies }: Opened,
  { admissions, sightings, flush }: Core,
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let reviewing: Promise<void> = Promise.resolve()
  let looking: Promise<void> = Promise.resolve()
  const lookAtPolicies = (): void => {
    const signal = AbortSignal.any([stopping.signal, TIME.workLimit()])
    looking = policies.tick(signal).catch((error: unknown) => watch.onError(error))
  }
  const timers = [
    setInterval(flush, FLUSH_INTERVAL_MS),
    setInterval(() => {
      sightings.write().catch((error: unknown) => watch.onError(error))
    }, FLUSH_INTERVAL_MS),
    setInterval(() => {
      reviewing = admissions.run(stopping.signal).catch((error: unknown) => watch.onError(error))
    }, config.outages.reviewEveryMs),
    ...(config.trust.refresh === 'on'
      ? [setInterval(() => trust.keeper.tick(stopping.signal), TRUST_INTERVAL_MS)]
      : [setInterval(() => trust.keeper.look(), TRUST_INTERVAL_MS)]),
    ...(policies.lookEveryMs === undefined ? [] : [setInterval(lookAtPolicies, policies.lookEveryMs)]),
    setInterval(() => {
      if (policies.inForce.origin === undefined) lookAtPolicies()
    }, HELD_INTERVAL_MS),
  ]
  // What was kept may be old by now.
  if (policies.readAt === undefined) lookAtPolicies()
  for (const timer of timers) timer.unref()
  return {
    async stop() {
      for (const timer of timers) clearInterval(timer)
      stopping.abort()
      await Promise.all([reviewing, looking])
    },
  }
}

function watching(watch: Watch): Pick<ManifestRouteDeps, 'onPull' | 'onError' | 'elapsed'> {
  return {
    onPull: observePull(watch.metrics),
    elapsed: TIME.elapsed,
    onError: (error: unknown) => watch.onError(error),
  }
}
