import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import type { AppDeps } from './app.ts'
import { createBlobService } from './blob.ts'
import type { Config } from './config/schema.ts'
import { loadPolicyDirectory } from './config/policy-files.ts'
import { createJudge } from './judge.ts'
import { policiesFor, type IndexedPolicySet } from './policy/policy-index.ts'
import { problemText } from './policy/problem.ts'
import { ManifestError } from './oci/manifest-error.ts'
import { createPull, type Pull } from './pull.ts'
import { createLogs, type Logger } from './record/log.ts'
import { createMetrics, type Metrics } from './record/metrics.ts'
import { observePull } from './record/observe-pull.ts'
import { createRecorder } from './record/recorder.ts'
import { createManifestRoute } from './routes/manifest.ts'
import { createReferrersRoute } from './routes/referrers.ts'
import { openContentStore } from './store/content.ts'
import { openDatabase } from './store/database.ts'
import { StoreError } from './store/error.ts'
import { createStateStore } from './store/state.ts'
import { loadPublicGoodRoot } from './trust/public-good.ts'
import { createTrustSnapshot, type TrustSnapshot } from './trust/snapshot.ts'
import { TrustError } from './trust/trust-error.ts'
import { parseTrustRoot } from './trust/trust-root.ts'
import { createManifestSource, type FetchedManifest } from './upstream/manifest-source.ts'
import { createRouter } from './upstream/route.ts'
import { createUpstreams } from './upstream/upstreams.ts'
import { createVerificationRunner, type VerificationRunner } from './work/runner.ts'
import { countLoaded, credentialSource, loadTls, routeTable, strictestMode } from './wiring.ts'

/** Everything that runs, built once from the configuration. Nothing else in the project makes one of these. */
export type Deps = {
  readonly app: AppDeps
  readonly pull: Pull
  readonly log: Logger
  readonly metrics: Metrics
  readonly policies: IndexedPolicySet
  readonly trust: TrustSnapshot
  readonly tls: { cert: string; key: string } | undefined
  close(): Promise<void>
}

export type DepsResult = { readonly ok: true; readonly deps: Deps } | { readonly ok: false; readonly problems: readonly string[] }

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
    if (error instanceof StoreError || error instanceof TrustError) return { ok: false, problems: [error.message] }
    throw error
  }
}

async function loadTrust(config: Config): Promise<TrustSnapshot> {
  const roots = [...config.trust.roots].map(async ([name, root]) =>
    root.kind === 'public-good' ? loadPublicGoodRoot() : parseTrustRoot(name, await readFile(root.path, 'utf8')),
  )
  return createTrustSnapshot(await Promise.all(roots))
}

async function build(config: Config, policies: IndexedPolicySet, trust: TrustSnapshot): Promise<Deps> {
  const now = () => new Date()
  const elapsed = () => performance.now()
  const workLimit = () => AbortSignal.timeout(WORK_LIMIT_MS)
  const deadline = () => AbortSignal.timeout(config.deadlines.pullMs)
  const destination = pino.destination({ dest: 1, sync: false, minLength: LOG_BUFFER_BYTES, periodicFlush: LOG_FLUSH_MS })
  const { log, requests } = createLogs(config.log.level, destination)
  const metrics = createMetrics()
  const onError = (error: StoreError): void => {
    metrics.storeFaults.inc({ operation: error.code })
    log.error({ event: 'store', err: error }, error.message)
  }

  await mkdir(config.dataDirectory, { recursive: true, mode: 0o700 })
  const database = openDatabase(join(config.dataDirectory, 'portcullis.db'))
  const { contentBytesMax: bytesMax, evidenceBytesMax } = config.cache
  const state = createStateStore(database, { now, onError, evidenceBytesMax })
  const content = await openContentStore({ directory: join(config.dataDirectory, 'content'), bytesMax, database, now, onError })
  const credentials = credentialSource(config)
  const upstreams = createUpstreams([...config.upstreams.values()], (registry) => ({
    credentials,
    now: Date.now,
    random: Math.random,
    sleep: async (ms, signal) => void (await sleep(ms, undefined, { signal })),
    onRequest: ({ kind, result }) => metrics.upstreamRequests.inc({ registry, operation: kind, result }),
  }))
  const runner = createVerificationRunner()
  const manifests = createManifestSource({
    ...config.cache,
    upstreams,
    content,
    state,
    now,
    workLimit,
    revalidationLimit: () => AbortSignal.timeout(REVALIDATION_LIMIT_MS),
    parse: async (bytes, contentType) => await parse(runner, { bytes, contentType, signal: workLimit() }),
  })
  const matching = (repositoryName: string) => policiesFor(policies, repositoryName)
  const modeOf = (repositoryName: string) => strictestMode(policies, matching(repositoryName))
  const judge = createJudge({
    policies: { set: policies, matching },
    trust,
    manifests,
    upstreams,
    state,
    runner,
    metrics,
    now,
    elapsed,
    workLimit,
    violatedTtlMs: config.cache.violatedTtlMs,
    allowedForeignHosts: new Set(config.foreignUrls.allowedHosts),
  })
  const recorder = createRecorder({ state, log, metrics, now })
  const versions = { policyVersion: policies.version, trustVersion: trust.version }
  const pull = createPull({ manifests, judge, state, recorder, modeOf, ...versions })
  const onPull = observePull({ log, metrics })
  const onUnexpected = (error: unknown) => log.error({ event: 'error', err: error }, 'unexpected error')
  const blobs = createBlobService({ content, onEvent: ({ kind }) => metrics.blobReads.inc({ kind }) })
  const flushing = setInterval(recorder.flush, FLUSH_INTERVAL_MS).unref()
  countLoaded(metrics, policies, trust)

  return {
    app: {
      router: createRouter(routeTable(config), config.defaultUpstream ?? undefined),
      manifest: createManifestRoute({ pull, modeOf, hardStop: config.refusals.hardStop, deadline, onPull, onError: onUnexpected }),
      blob: { blobs, judge, state, modeOf, metrics, runner, deadline, upstreams: config.upstreams },
      referrers: createReferrersRoute({ runner, workLimit: deadline }),
      upstreams,
      metrics,
      log,
      requests,
      deadline,
      elapsed,
    },
    pull,
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
      destination.flushSync()
    },
  }
}

/** A manifest that cannot be parsed is a fact about the image, for policy to judge; a worker that dies is not. */
async function parse(
  runner: VerificationRunner,
  { bytes, contentType, signal }: { bytes: Buffer; contentType: string | undefined; signal: AbortSignal },
): Promise<FetchedManifest['parsed']> {
  try {
    return { ok: true, manifest: await runner.parseManifest(bytes, contentType, signal) }
  } catch (error) {
    if (error instanceof ManifestError) return { ok: false, message: error.message }
    throw error
  }
}
