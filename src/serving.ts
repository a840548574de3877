import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AppDeps } from './app.ts'
import { createBlobService } from './blob.ts'
import type { Config } from './config/schema.ts'
import { connectLogs, type connectUpstreams, type Store } from './connect.ts'
import { createCore, type Core, type CoreParts, type CurrentEpoch } from './core.ts'
import { shareLimit } from './deadline.ts'
import type { Drills } from './drill.ts'
import { Turns } from './http/turns.ts'
import type { Peers } from './peers.ts'
import { observePull } from './record/observe-pull.ts'
import { RecentPulls } from './replay.ts'
import { ManifestRoute, type ManifestRouteDeps } from './routes/manifest.ts'
import { createReferrersRoute } from './routes/referrers.ts'
import type { TufRepositories } from './routes/tuf.ts'
import { createRouter } from './upstream/route.ts'
import type { Watch } from './watch.ts'
import { routeTable } from './wiring.ts'
import type { VerificationRunner } from './work/runner.ts'

/** What judges and answers pulls: the same in the one process, in a worker, and in the keeper of workers. */
export type Serving = { readonly app: AppDeps; readonly core: Core; readonly recent: RecentPulls }

export type ServingParts = {
  readonly watch: Watch
  readonly drills: Drills
  readonly store: Store
  readonly current: CurrentEpoch
  readonly upstreams: ReturnType<typeof connectUpstreams>
  readonly runner: VerificationRunner
  readonly tuf: TufRepositories
  /** Undefined: no other process has the store. */
  readonly peers: Peers | undefined
}

/** Work that outlives the request that began it: a slow registry and a large attestation fit, a hanging one does not. */
const WORK_LIMIT_MS = 60_000
/** A known tag waits this long for its registry, which answers a HEAD in a tenth of it. */
const REVALIDATION_LIMIT_MS = 2_000
/** How often counts of repeated refusals, and what was verified, are written. */
const FLUSH_INTERVAL_MS = 10_000

const elapsed = (): number => performance.now()

/** The clocks and limits of the real world. Everything else is given them. */
export const TIME: CoreParts['time'] = {
  now: readClock(),
  elapsed,
  pause: async () => await nextTurn(),
  workLimit: shareLimit(() => AbortSignal.timeout(WORK_LIMIT_MS), { elapsed, shareMs: 1_000 }),
  revalidationLimit: () => AbortSignal.timeout(REVALIDATION_LIMIT_MS),
  limit: (ms: number) => AbortSignal.timeout(Math.ceil(ms)),
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

/** `closing`: what was opened is closed with it, the last first. */
export function createServing(
  config: Config,
  parts: ServingParts,
  closing: Pick<AsyncDisposableStack, 'defer'>,
): Serving {
  const { watch, drills, store, upstreams, runner, tuf } = parts
  const { metrics } = watch
  const { content, state } = store
  const logs = connectLogs(config, watch, { drills, state })
  closing.defer(async () => await logs.close())
  const recent = new RecentPulls(Date.now)
  const core = createCore(config, { ...parts, lookUp: logs.lookUp, recent, time: TIME })
  const { puller, modeOf } = core
  const blobs = createBlobService({ content, onEvent: ({ kind }) => metrics.blobReads.inc({ kind }) })
  const deadline = () => AbortSignal.timeout(config.deadlines.pullMs)
  closing.defer(async () => await blobs.close())
  const writing = keepWritten(parts, core)
  closing.defer(() => writing.stop())
  const app: AppDeps = {
    ...watch,
    router: createRouter(routeTable(config), config.defaultUpstream ?? undefined),
    manifest: new ManifestRoute({
      ...config.refusals,
      ...watching(watch),
      puller,
      modeOf,
      deadline,
      peers: parts.peers,
    }),
    blob: {
      ...core,
      blobs,
      state,
      metrics,
      runner,
      deadline,
      upstreams: config.upstreams,
    },
    referrers: createReferrersRoute({ runner, workLimit: deadline }),
    tuf,
    logEntries: state,
    upstreams,
    turns: new Turns(),
    deadline,
    elapsed: TIME.elapsed,
    now: TIME.now,
  }
  return { app, core, recent }
}

/** What is only in memory is written every few seconds, and at the end. */
function keepWritten({ watch, store, peers }: ServingParts, { flush, sightings }: Core): { stop(): void } {
  const timers = [
    setInterval(flush, FLUSH_INTERVAL_MS),
    setInterval(() => {
      sightings.write().catch((error: unknown) => watch.onError(error))
    }, FLUSH_INTERVAL_MS),
    ...(peers === undefined ? [] : [setInterval(() => store.content.flushUses(), FLUSH_INTERVAL_MS)]),
  ]
  for (const timer of timers) timer.unref()
  return {
    stop() {
      for (const timer of timers) clearInterval(timer)
      sightings.flush()
      flush()
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
