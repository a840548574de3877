import type { AdminDeps } from './admin.ts'
import type { Config } from './config/schema.ts'
import { connectUpstreams, openStore, type Store } from './connect.ts'
import { Drills } from './drill.ts'
import { CurrentEpoch, type Core } from './core.ts'
import { openPolicies } from './policies.ts'
import type { PolicyKeeper } from './policy-source/keeper.ts'
import type { Puller } from './pull.ts'
import type { Logger } from './record/log.ts'
import { createJudgeFresh } from './judge-fresh.ts'
import { RecentPulls } from './replay.ts'
import { compileRings, type Rings } from './rings/recognise.ts'
import { noteStages, ringOrder } from './rollout/stages.ts'
import { createServing, TIME, type Serving, type ServingParts } from './serving.ts'
import { StoreError } from './store/error.ts'
import { openTrust, type OpenTrust } from './trust/open.ts'
import { TrustError } from './trust/trust-error.ts'
import { createWatch, type Watch } from './watch.ts'
import {
  dataListenersAt,
  listenerPlaces,
  mirroredFiles,
  tufRepositories,
  type DataListener,
} from './wiring.ts'
import { createVerificationRunner } from './work/runner.ts'
import type { Flock } from './workers/flock.ts'

/** Everything that runs, built once from the configuration. Nothing else in the project makes one of these. */
export type Deps = Pick<Serving, 'app'> & {
  readonly watch: Watch
  readonly store: Store
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

/** How often it is looked whether something of trust is due or has ended. */
const TRUST_INTERVAL_MS = 5_000
/** How often policies that were never had are asked for: until then every image is held. */
const HELD_INTERVAL_MS = 5_000
/** What was never had is asked for before the first request, but no longer than this. */
const FIRST_TRUST_LIMIT_MS = 5_000

/**
 * Builds everything or nothing: what is wrong with trust, policies or the data directory comes back in words. With
 * `workers` this is their keeper: it serves no pulls, and what runs in each of them stands in workers/worker-deps.ts.
 */
export async function createDeps(config: Config, workers?: Flock): Promise<DepsResult> {
  try {
    return await open(config, workers)
  } catch (error) {
    if (error instanceof StoreError || error instanceof TrustError)
      return { ok: false, problems: [error.message] }
    throw error
  }
}

/** What was opened is closed again where something after it fails. */
async function open(config: Config, workers: Flock | undefined): Promise<DepsResult> {
  const watch = createWatch(config, TIME.now)
  const drills = new Drills({
    now: TIME.now,
    onEvent(event) {
      watch.onDrill(event)
      workers?.rule.drill(event.kind === 'started' ? event.drill : undefined)
    },
  })
  const rings = compileRings(config.rings)
  const listeners = dataListenersAt(config, rings, await listenerPlaces(config))
  await using opened = new AsyncDisposableStack()
  opened.defer(async () => await watch.flush())
  const sharing = workers === undefined ? 'alone' : 'first'
  const store = await openStore(config, watch, TIME.now, { sharing })
  opened.defer(() => store.unlock())
  opened.defer(() => store.state.close())
  opened.defer(async () => await store.checkpoints?.close())
  opened.defer(async () => await store.content.close())
  const current = new CurrentEpoch()
  const { trustListener } = watch
  const trust = await openTrust(config, {
    references: [],
    listener: current.following(workers?.rule.following(trustListener) ?? trustListener),
    guard: (dependency) => drills.guard(dependency),
    now: TIME.now,
    elapsed: TIME.elapsed,
    random: Math.random,
  })
  opened.defer(async () => await trust.close())
  workers?.rule.trust(trust.keeper.snapshot)
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
    rule: workers?.rule,
    now: TIME.now,
    noteStages: (set) => noteStages(set, TIME.now(), { rings: ringsInOrder(config), state: store.state }),
  })
  if (!policies.ok) return policies
  const tuf = tufRepositories(config, mirroredFiles(trust))
  const serves = { watch, drills, store, current, upstreams, runner, tuf, peers: workers?.peers }
  const parts = { ...serves, trust, policies: policies.keeper, listeners, rings, workers }
  return { ok: true, deps: build(config, parts, opened.move()) }
}

type Opened = ServingParts & { readonly trust: OpenTrust; readonly workers: Flock | undefined } & Pick<
    Deps,
    'listeners' | 'rings' | 'policies'
  >

function build(config: Config, opened: Opened, closing: AsyncDisposableStack): Deps {
  const { watch, store, trust, policies, listeners, rings, workers } = opened
  const { app, core, recent } = createServing(config, opened, closing)
  const keeping = keepUp(config, opened, core)
  closing.defer(async () => await keeping.stop())
  watch.trust.watch(() => trust.keeper.status())
  const pulls = workers === undefined ? recent : new RecentPulls(Date.now)
  return {
    app,
    watch,
    store,
    admin: {
      metrics: workers?.metricsOf(watch.metrics, () => core.gate.countWaiting()) ?? watch.metrics,
      names: new Set([config.listen.admin.host, ...config.listen.admin.names]),
      trust: trust.keeper,
      policies,
      rollout: rolloutOf(config, opened, core),
      drill: {
        drills: opened.drills,
        async recent() {
          pulls.add((await workers?.recent()) ?? [])
          return pulls.list()
        },
        judgeFresh: createJudgeFresh(core.fresh, core.gate),
        replayLimit: TIME.workLimit,
      },
      explain: {
        ...core,
        policies: () => policies.inForce.set,
        rings: [...rings.rings, rings.fallback],
        deadline: app.deadline,
        elapsed: TIME.elapsed,
      },
      settled: async () => await workers?.rule.settled(),
    },
    puller: core.puller,
    log: watch.log,
    policies,
    trust: trust.keeper,
    listeners,
    rings,
    close: async () => await closing.disposeAsync(),
  }
}

function ringsInOrder({ rings }: Config): readonly string[] {
  return ringOrder(rings.map(({ name }) => name))
}

function rolloutOf(
  config: Config,
  { policies, store, workers }: Opened,
  { sightings }: Core,
): AdminDeps['rollout'] {
  return {
    policies: () => policies.inForce.set,
    rings: ringsInOrder(config),
    state: store.state,
    settle: async () => await (workers === undefined ? sightings.write() : workers.settle()),
    now: TIME.now,
    pause: TIME.pause,
  }
}

/** What goes on in one process alone: trust is renewed, policies are looked at, what was let pass is judged again. */
function keepUp(
  config: Config,
  { watch, trust, policies }: Opened,
  { admissions }: Core,
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let reviewing: Promise<void> = Promise.resolve()
  let looking: Promise<void> = Promise.resolve()
  const lookAtPolicies = (): void => {
    const signal = AbortSignal.any([stopping.signal, TIME.workLimit()])
    looking = policies.tick(signal).catch((error: unknown) => watch.onError(error))
  }
  const timers = [
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
