import { performance } from 'node:perf_hooks'
import { coldSockets } from '../config/cold-sockets.ts'
import { ADMIN_LISTENER } from '../config/listen-schema.ts'
import type { CommandIo } from '../cli/io.ts'
import type { Config } from '../config/schema.ts'
import { createDeps, type Deps } from '../deps.ts'
import { listenProblem, listenToOperators } from '../listeners.ts'
import type { Listener } from '../server.ts'
import { clusterLaunch } from './cluster.ts'
import { openColdDirectory } from './cold-directory.ts'
import { Flock } from './flock.ts'
import type { WorkerRole } from './messages.ts'
import { Supervisor, type Listening, type WorkerEvent } from './supervisor.ts'
import { guestName } from './guest.ts'

export type RunningKeeper = {
  readonly deps: Deps
  /** Drains all workers, then closes what the keeper uses. */
  stop(): Promise<void>
  /** Resolves with the reason when no worker stays alive: whoever runs this must end. */
  readonly hopeless: Promise<string>
}

/** After the drain, for what is still to be written. */
const STOP_GRACE_MS = 5_000

export type WantedKeeper = {
  readonly config: Config
  /** Workers that serve clients. */
  readonly count: number
  /** Resolves when all is to end, which may be before it has begun. */
  readonly stopped: Promise<unknown>
}

/**
 * Starts the keeper and its workers, or says on stderr why not and gives undefined. The keeper has trust, policies, the data
 * directory and the admin listener; workers have the listeners where clients pull.
 */
export async function startKeeper(
  { config, count, stopped }: WantedKeeper,
  io: CommandIo,
): Promise<RunningKeeper | 'stopped' | undefined> {
  const flock = new Flock()
  const created = await createDeps(config, flock)
  if (!created.ok) {
    io.stderr(created.problems.map((problem) => `${problem}\n`).join(''))
    return undefined
  }
  const { deps } = created
  const sockets = await openColdDirectory(config)
  if (!sockets.ok) {
    io.stderr(`portcullis: ${sockets.problem}\n`)
    await deps.close()
    return undefined
  }
  const hopeless = Promise.withResolvers<string>()
  const counts = { serving: count, cold: config.coldWorkers }
  const supervisor = createSupervisor({ config, deps, flock, counts, onHopeless: hopeless.resolve })
  flock.follow(supervisor)
  const readiness = {
    draining: false,
    workers: { serving: () => supervisor.standing('serving'), cold: () => supervisor.standing('cold') },
  }
  const drain = async (): Promise<void> => {
    readiness.draining = true
    await supervisor.stop(config.shutdown.drainMs + STOP_GRACE_MS)
  }
  const stop = async (admin: Listener | undefined): Promise<void> => {
    await drain()
    await admin?.close(0)
    await sockets.close()
    await deps.close()
  }
  // Whoever still waits for workers to begin waits no more.
  void stopped.then(drain)
  const begun = await begin(
    supervisor,
    async () => await listenToOperators({ ...deps.admin, readiness }, config),
  )
  if (!begun.ok) {
    io.stderr(begun.problems.map((problem) => `portcullis: ${problem}\n`).join(''))
    await stop(undefined)
    return begun.problems.length === 0 ? 'stopped' : undefined
  }
  const { at, admin } = begun
  tellStart(deps, counts, [...at, [ADMIN_LISTENER, admin.address]])
  return { deps, hopeless: hopeless.promise, stop: async () => await stop(admin) }
}

type Begun =
  | { readonly ok: true; readonly at: Listening; readonly admin: Listener }
  | { readonly ok: false; readonly problems: readonly string[] }

/** Workers listen before anybody is told that the proxy is ready. No problem and no start: it was stopped meanwhile. */
async function begin(supervisor: Supervisor, listenAdmin: () => Promise<Listener>): Promise<Begun> {
  const started = await supervisor.start()
  if (!started.ok) return started
  try {
    return { ...started, admin: await listenAdmin() }
  } catch (error) {
    return { ok: false, problems: [listenProblem(error)] }
  }
}

type Counts = Readonly<Record<WorkerRole, number>>

type Parts = {
  readonly config: Config
  readonly deps: Deps
  readonly flock: Flock
  readonly counts: Counts
  readonly onHopeless: (problem: string) => void
}

function createSupervisor({ config, deps, flock, counts, onHopeless }: Parts): Supervisor {
  const { watch, store, app } = deps
  const places = deps.listeners.map(({ at }) => at)
  const sockets = coldSockets(config)
  return new Supervisor({
    counts,
    launch: clusterLaunch((lines) => watch.writeLines(lines)),
    startOf(worker, role) {
      const mine = role === 'cold' ? sockets.slice(worker - counts.serving - 1).slice(0, 1) : sockets
      return { role, sockets: mine, config, places, rule: flock.rule.whole }
    },
    async answer(ask) {
      if (ask.kind === 'tuf') return await app.tuf.get(ask.name)?.(ask.path)
      throw new TypeError(`a keeper is not asked for ${ask.kind}`)
    },
    onNews: (news) => flock.hear(news),
    onEvent: (event) => tell(event, deps, flock),
    onEnded(pid, last) {
      flock.ended(pid, last).catch((error: unknown) => watch.onError(error))
      store.content.forgetGuest(guestName(pid)).catch((error: unknown) => watch.onError(error))
    },
    onHopeless,
    elapsed: () => performance.now(),
    schedule: (work, delayMs) => void setTimeout(work, delayMs).unref(),
    every: (ms, work) => void setInterval(work, ms).unref(),
    limit: (ms) => AbortSignal.timeout(ms),
  })
}

function tellStart({ log, policies, trust }: Deps, { serving, cold }: Counts, at: Listening): void {
  const told = { policies: policies.inForce.set.policies.length, trust: trust.snapshot.version }
  const workers = { workers: serving, ...(cold > 0 ? { coldWorkers: cold } : {}) }
  log.info({ event: 'start', listen: Object.fromEntries(at), ...told, ...workers }, 'ready')
}

function tell(event: WorkerEvent, { log }: Deps, flock: Flock): void {
  const told = { ...event, event: 'worker' }
  switch (event.kind) {
    case 'started':
      return log.debug(told, 'worker started')
    case 'listening':
      return log.info(told, 'worker listens')
    case 'failed':
      return log.error(told, 'worker cannot begin')
    case 'behind':
      flock.count('behind')
      return log.error(told, 'worker does not go by what counts now, or does not answer, and is killed')
    case 'ended':
      // Told of and counted as what it was killed for.
      if (event.isWanted || event.isBehind) return log.info(told, 'worker ended')
      flock.count(event.signal === null ? 'exit' : 'signal')
      return log.error(told, 'worker ended though nobody had told it to')
  }
}
