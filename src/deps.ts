import { performance } from 'node:perf_hooks'
import type { AdminDeps } from './admin.ts'
import type { AppDeps } from './app.ts'
import { createBlobService } from './blob.ts'
import type { Config } from './config/schema.ts'
import { loadPolicyDirectory } from './config/policy-files.ts'
import { connectLogs, connectUpstreams, openStore, type Store } from './connect.ts'
import { Drills } from './drill.ts'
import { createCore, CurrentEpoch, type Core } from './core.ts'
import { keyReferencesOf } from './policy/bind.ts'
import type { IndexedPolicySet } from './policy/policy-index.ts'
import { problemText } from './policy/problem.ts'
import type { Puller } from './pull.ts'
import type { Logger } from './record/log.ts'
import { observePull } from './record/observe-pull.ts'
import { createJudgeFresh } from './judge-fresh.ts'
import { RecentPulls } from './replay.ts'
import { ManifestRoute, type ManifestRouteDeps } from './routes/manifest.ts'
import { createReferrersRoute } from './routes/referrers.ts'
import { StoreError } from './store/error.ts'
import { openTrust, type OpenTrust } from './trust/open.ts'
import { TrustError } from './trust/trust-error.ts'
import { createRouter } from './upstream/route.ts'
import { createWatch, type Watch } from './watch.ts'
import { countLoaded, loadTls, routeTable, tufRepositories } from './wiring.ts'
import { createVerificationRunner } from './work/runner.ts'

/** Everything that runs, built once from the configuration. Nothing else in the project makes one of these. */
export type Deps = {
  readonly app: AppDeps
  readonly admin: Omit<AdminDeps, 'readiness'>
  readonly puller: Puller
  readonly log: Logger
  readonly policies: IndexedPolicySet
  readonly trust: OpenTrust['keeper']
  readonly tls: { cert: string; key: string } | undefined
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
/** What was never had is asked for before the first request, but no longer than this. */
const FIRST_TRUST_LIMIT_MS = 5_000

/** Builds everything or nothing: what is wrong with trust, policies or the data directory comes back in words. */
export async function createDeps(config: Config): Promise<DepsResult> {
  const policies = await loadPolicyDirectory(config)
  if (!policies.ok) return { ok: false, problems: policies.problems.map(problemText) }
  try {
    return { ok: true, deps: await open(config, policies.set) }
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

/** What can fail comes first, and what was opened by then is closed again. */
async function open(config: Config, policies: IndexedPolicySet): Promise<Deps> {
  const watch = createWatch(config, TIME.now)
  const drills = new Drills({ now: TIME.now, onEvent: (event) => watch.onDrill(event) })
  const tls = await loadTls(config)
  const store = await openStore(config, watch, TIME.now)
  const current = new CurrentEpoch(policies)
  try {
    const trust = await openTrust(config, {
      references: keyReferencesOf(policies),
      listener: current.following(watch.trustListener),
      guard: (dependency) => drills.guard(dependency),
      now: TIME.now,
      elapsed: TIME.elapsed,
      random: Math.random,
    })
    current.begin(trust)
    if (config.trust.refresh === 'on') {
      await trust.keeper.refresh('missing', AbortSignal.timeout(FIRST_TRUST_LIMIT_MS))
    }
    return build(config, { watch, drills, store, trust, current, tls })
  } catch (error) {
    store.state.close()
    store.unlock()
    throw error
  }
}

type Opened = {
  readonly watch: Watch
  readonly drills: Drills
  readonly store: Store
  readonly trust: OpenTrust
  readonly current: CurrentEpoch
  readonly tls: Deps['tls']
}

function build(config: Config, opened: Opened): Deps {
  const { watch, drills, trust, current, store } = opened
  const { log, metrics } = watch
  const { content, state } = store
  const upstreams = connectUpstreams(config, watch, drills)
  const logs = connectLogs(config, watch, { drills, state })
  const runner = createVerificationRunner()
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
  const { judge, gate, puller, modeOf } = core
  const blobs = createBlobService({ content, onEvent: ({ kind }) => metrics.blobReads.inc({ kind }) })
  const deadline = () => AbortSignal.timeout(config.deadlines.pullMs)
  const keeping = keepUp(config, opened, core)
  countLoaded(metrics, current.policies)
  watch.trust.watch(() => trust.keeper.status())

  return {
    app: {
      ...watch,
      router: createRouter(routeTable(config), config.defaultUpstream ?? undefined),
      manifest: new ManifestRoute({ ...config.refusals, ...watching(watch), puller, modeOf, deadline }),
      blob: { blobs, judge, gate, state, modeOf, metrics, runner, deadline, upstreams: config.upstreams },
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
      drill: { drills, recent, judgeFresh: createJudgeFresh(core.fresh, gate), replayLimit: TIME.workLimit },
    },
    puller,
    log,
    policies: current.policies,
    trust: trust.keeper,
    tls: opened.tls,
    async close() {
      await keeping.stop()
      core.flush()
      await blobs.close()
      await Promise.all([runner.close(), upstreams.close(), logs.close(), trust.close(), content.close()])
      state.close()
      store.unlock()
      watch.flush()
    },
  }
}

/** What goes on beside requests: trust is renewed, what was let pass is judged again, what is only in memory is written. */
function keepUp(
  config: Config,
  { watch, trust }: Opened,
  { admissions, flush }: Core,
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let reviewing: Promise<void> = Promise.resolve()
  const timers = [
    setInterval(flush, FLUSH_INTERVAL_MS),
    setInterval(() => {
      reviewing = admissions.run(stopping.signal).catch((error: unknown) => watch.onError(error))
    }, config.outages.reviewEveryMs),
    ...(config.trust.refresh === 'on'
      ? [setInterval(() => trust.keeper.tick(stopping.signal), TRUST_INTERVAL_MS)]
      : [setInterval(() => trust.keeper.look(), TRUST_INTERVAL_MS)]),
  ]
  for (const timer of timers) timer.unref()
  return {
    async stop() {
      for (const timer of timers) clearInterval(timer)
      stopping.abort()
      await reviewing
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
