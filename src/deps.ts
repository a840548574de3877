import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import type { AppDeps } from './app.ts'
import { createBlobService } from './blob.ts'
import type { Config } from './config/schema.ts'
import { loadPolicyDirectory } from './config/policy-files.ts'
import { Judge } from './judge.ts'
import { policiesFor, type IndexedPolicySet } from './policy/policy-index.ts'
import { problemText } from './policy/problem.ts'
import { ManifestError } from './oci/manifest-error.ts'
import { Puller } from './pull.ts'
import { createLogs, type Logger } from './record/log.ts'
import { createMetrics, type Metrics } from './record/metrics.ts'
import { observePull } from './record/observe-pull.ts'
import { createRecorder } from './record/recorder.ts'
import { ManifestRoute, type ManifestRouteDeps } from './routes/manifest.ts'
import { createReferrersRoute } from './routes/referrers.ts'
import { openContentStore, type DirectoryContentStore } from './store/content.ts'
import { openDatabase } from './store/database.ts'
import { StoreError } from './store/error.ts'
import { lockDirectory } from './store/lock.ts'
import { createStateStore } from './store/state.ts'
import type { StateStore } from './store/types.ts'
import { loadPublicGoodRoot } from './trust/public-good.ts'
import { createTrustSnapshot, type TrustSnapshot } from './trust/snapshot.ts'
import { TrustError } from './trust/trust-error.ts'
import { parseTrustRoot } from './trust/trust-root.ts'
import { ManifestSource, type ManifestSourceDeps } from './upstream/manifest-source.ts'
import { createRouter } from './upstream/route.ts'
import { createUpstreams } from './upstream/upstreams.ts'
import { createVerificationRunner, type VerificationRunner } from './work/runner.ts'
import { countLoaded, credentialSource, loadTls, routeTable, strictestMode } from './wiring.ts'

/** Everything that runs, built once from the configuration. Nothing else in the project makes one of these. */
export type Deps = {
  readonly app: AppDeps
  readonly puller: Puller
  readonly log: Logger
  readonly metrics: Metrics
  readonly policies: IndexedPolicySet
  readonly trust: TrustSnapshot
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
/** Lines are written in bulk, so that a busy proxy does not pay a system call for each, but never late. */
const LOG_BUFFER_BYTES = 8 * 1024
const LOG_FLUSH_MS = 1_000
/** How often counts of repeated refusals are written. */
const FLUSH_INTERVAL_MS = 10_000

/** Builds everything or nothing: what is wrong with trust, policies or the data directory comes back in words. */
export async function createDeps(config: Config): Promise<DepsResult> {
  const policies = await loadPolicyDirectory(config)
  if (!policies.ok) return { ok: false, problems: policies.problems.map(problemText) }
  try {
    return { ok: true, deps: await build(config, policies.set, await loadTrust(config)) }
  } catch (error) {
    if (error instanceof StoreError || error instanceof TrustError)
      return { ok: false, problems: [error.message] }
    throw error
  }
}

async function loadTrust(config: Config): Promise<TrustSnapshot> {
  const roots = [...config.trust.roots].map(async ([name, root]) =>
    root.kind === 'public-good'
      ? loadPublicGoodRoot(name)
      : parseTrustRoot(name, await readFile(root.path, 'utf8')),
  )
  return createTrustSnapshot(await Promise.all(roots))
}

async function build(config: Config, policies: IndexedPolicySet, trust: TrustSnapshot): Promise<Deps> {
  const watch = observe(config)
  const { log, metrics } = watch
  const store = await openStore(config, watch)
  const upstreams = connect(config, metrics)
  const runner = createVerificationRunner()
  const matching = (repositoryName: string) => policiesFor(policies, repositoryName)
  const modeOf = (repositoryName: string) => strictestMode(policies, matching(repositoryName))
  const { content, state } = store
  const parse = manifestParser(runner)
  const common = { ...TIME, ...config.cache, upstreams, state, runner, metrics, trust, content, parse }
  const manifests = new ManifestSource(common)
  const allowedForeignHosts = new Set(config.foreignUrls.allowedHosts)
  const rules = { set: policies, matching }
  const judge = new Judge({ ...common, manifests, policies: rules, allowedForeignHosts })
  const recorder = createRecorder({ state, log, metrics, now: TIME.now })
  const versions = { policyVersion: policies.version, trustVersion: trust.version }
  const puller = new Puller({ manifests, judge, state, recorder, modeOf, ...versions })
  const blobs = createBlobService({ content, onEvent: ({ kind }) => metrics.blobReads.inc({ kind }) })
  const flushing = setInterval(() => recorder.flush(), FLUSH_INTERVAL_MS).unref()
  const deadline = () => AbortSignal.timeout(config.deadlines.pullMs)
  countLoaded(metrics, policies, trust)

  return {
    app: {
      ...watch,
      router: createRouter(routeTable(config), config.defaultUpstream ?? undefined),
      manifest: new ManifestRoute({ ...config.refusals, ...watching(watch), puller, modeOf, deadline }),
      blob: { blobs, judge, state, modeOf, metrics, runner, deadline, upstreams: config.upstreams },
      referrers: createReferrersRoute({ runner, workLimit: deadline }),
      upstreams,
      deadline,
      elapsed: TIME.elapsed,
    },
    puller,
    log,
    metrics,
    policies,
    trust,
    tls: await loadTls(config),
    async close() {
      clearInterval(flushing)
      recorder.flush()
      await blobs.close()
      await Promise.all([runner.close(), upstreams.close(), content.close()])
      state.close()
      store.unlock()
      watch.flush()
    },
  }
}

/** The clocks and limits of the real world. Everything below this file is given them. */
const TIME = {
  now: () => new Date(),
  elapsed: () => performance.now(),
  workLimit: () => AbortSignal.timeout(WORK_LIMIT_MS),
  revalidationLimit: () => AbortSignal.timeout(REVALIDATION_LIMIT_MS),
}

function watching({ log, metrics }: Watch): Pick<ManifestRouteDeps, 'onPull' | 'onError' | 'elapsed'> {
  const onError = (error: unknown) => log.error({ event: 'error', err: error }, 'unexpected error')
  return { onPull: observePull(metrics), elapsed: TIME.elapsed, onError }
}

type Watch = { log: Logger; requests: Logger; metrics: Metrics; flush(): void }

function observe(config: Config): Watch {
  const buffering = { sync: false, minLength: LOG_BUFFER_BYTES, periodicFlush: LOG_FLUSH_MS }
  const destination = pino.destination({ dest: 1, ...buffering })
  return {
    ...createLogs(config.log.level, destination, TIME.now),
    metrics: createMetrics(),
    flush: () => destination.flushSync(),
  }
}

async function openStore(
  config: Config,
  { log, metrics }: Watch,
): Promise<{ state: StateStore; content: DirectoryContentStore; unlock: () => void }> {
  const { now } = TIME
  const onError = (error: StoreError): void => {
    metrics.storeFaults.inc({ operation: error.code })
    log.error({ event: 'store', err: error }, error.message)
  }
  const unlock = lockDirectory(config.dataDirectory)
  const database = openDatabase(join(config.dataDirectory, 'portcullis.db'))
  const { contentBytesMax: bytesMax, evidenceBytesMax } = config.cache
  const state = createStateStore(database, { now, onError, evidenceBytesMax })
  const directory = join(config.dataDirectory, 'content')
  const content = await openContentStore({ directory, bytesMax, database, now, onError })
  return { state, content, unlock }
}

function connect(config: Config, metrics: Metrics): ReturnType<typeof createUpstreams> {
  const credentials = credentialSource(config)
  return createUpstreams([...config.upstreams.values()], (registry) => ({
    credentials,
    now: Date.now,
    random: Math.random,
    sleep: async (ms, signal) => {
      await sleep(ms, undefined, { signal })
    },
    onRequest: ({ kind, result }) => metrics.upstreamRequests.inc({ registry, operation: kind, result }),
  }))
}

/** A manifest that cannot be parsed is a fact about the image, for policy to judge; a worker that dies is not. */
function manifestParser(runner: VerificationRunner): ManifestSourceDeps['parse'] {
  return async (bytes, contentType) => {
    try {
      return { ok: true, manifest: await runner.parseManifest(bytes, contentType, TIME.workLimit()) }
    } catch (error) {
      if (error instanceof ManifestError) return { ok: false, message: error.message }
      throw error
    }
  }
}
