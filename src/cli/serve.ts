import { availableParallelism } from 'node:os'
import type { Command } from 'commander'
import { createDeps, type Deps } from '../deps.ts'
import type { Listener } from '../server.ts'
import type { AdminDeps } from '../admin.ts'
import {
  closeAll,
  listenProblem,
  listenToClients,
  listenToOperators,
  type ClientListeners,
} from '../listeners.ts'
import { ADMIN_LISTENER, DATA_LISTENER } from '../config/listen-schema.ts'
import type { Config } from '../config/schema.ts'
import { configure } from './configure.ts'
import type { startKeeper, WantedKeeper } from '../workers/keeper.ts'
import { EXIT, type CommandIo } from './io.ts'

export function registerServe(program: Command, io: CommandIo): void {
  program
    .command('serve')
    .description('run the proxy')
    .option('-c, --config <file>', 'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)')
    .action(async (options: { config?: string }) => {
      const config = await configure(options.config, io)
      if (config === undefined) return io.exit(EXIT.usage)
      let running: Pick<Running, 'deps' | 'stop'> | undefined
      // From here on, or the signal would end the process; what comes before it runs is too early to change anything.
      process.on('SIGHUP', () => {
        if (running !== undefined) void reloadPolicies(running.deps)
      })
      // Likewise: what has begun is ended in order. Who cannot wait for that asks twice.
      const stopped = stopSignal()
      const count = config.workers === 'auto' ? availableParallelism() : config.workers
      if (count > 1 || config.coldWorkers > 0) {
        const keeper = await startWithWorkers({ config, count, stopped }, io)
        if (keeper === 'stopped') return io.exit(EXIT.ok)
        if (keeper === undefined) return io.exit(EXIT.usage)
        running = keeper
        const problem = await Promise.race([stopped, keeper.hopeless])
        await keeper.stop()
        if (problem === undefined) return io.exit(EXIT.ok)
        io.stderr(`portcullis: ${problem}\n`)
        return io.exit(EXIT.undetermined)
      }
      running = await start(config, io)
      if (running === undefined) return io.exit(EXIT.usage)
      await stopped
      await running.stop()
      return io.exit(EXIT.ok)
    })
}

const RELOAD_LIMIT_MS = 60_000

/** What is wrong with the new policies is logged by whoever keeps them. */
async function reloadPolicies({ policies, log }: Deps): Promise<void> {
  try {
    await policies.reload(AbortSignal.timeout(RELOAD_LIMIT_MS))
  } catch (error) {
    log.error({ event: 'error', err: error }, 'unexpected error')
  }
}

export type Running = {
  readonly deps: Deps
  readonly data: Listener
  /** Every listener where clients pull, by name; `data` is one of them. */
  readonly clients: ClientListeners
  readonly admin: Listener
  /** Drains all listeners, then closes what they used. */
  stop(): Promise<void>
}

/** Starts every listener, or says on stderr why not and gives undefined. */
export async function start(config: Config, io: CommandIo): Promise<Running | undefined> {
  const created = await createDeps(config)
  if (!created.ok) {
    io.stderr(created.problems.map((problem) => `${problem}\n`).join(''))
    return undefined
  }
  const { deps } = created
  const readiness = { draining: false }
  const opened = await listenAll(config, deps, readiness)
  if (!opened.ok) {
    io.stderr(`portcullis: ${opened.problem}\n`)
    await deps.close()
    return undefined
  }
  const { clients, admin } = opened
  const data = clients.get(DATA_LISTENER)
  if (data === undefined) throw new TypeError('there is always a data listener')
  const at = [...clients, [ADMIN_LISTENER, admin] as const].map(
    ([name, { address }]) => [name, address] as const,
  )
  deps.log.info(
    {
      event: 'start',
      listen: Object.fromEntries(at),
      policies: deps.policies.inForce.set.policies.length,
      trust: deps.trust.snapshot.version,
    },
    'ready',
  )
  return {
    deps,
    data,
    clients,
    admin,
    async stop() {
      // Whoever still asks the admin listener is told; the others take no new connection from here on.
      readiness.draining = true
      await closeAll(clients, config.shutdown.drainMs)
      await admin.close(0)
      await deps.close()
    },
  }
}

type Opened = { ok: true; clients: ClientListeners; admin: Listener } | { ok: false; problem: string }

/** All or none. */
async function listenAll(config: Config, deps: Deps, readiness: AdminDeps['readiness']): Promise<Opened> {
  let clients: ClientListeners = new Map()
  try {
    clients = await listenToClients(deps.app, deps.listeners)
    return { ok: true, clients, admin: await listenToOperators({ ...deps.admin, readiness }, config) }
  } catch (error) {
    await closeAll(clients, 0)
    return { ok: false, problem: listenProblem(error) }
  }
}

async function stopSignal(): Promise<undefined> {
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
  return undefined
}

/** Loaded only where it is wanted: one process alone pays nothing for it. */
async function startWithWorkers(wanted: WantedKeeper, io: CommandIo): ReturnType<typeof startKeeper> {
  const keeper = await import('../workers/keeper.ts')
  return await keeper.startKeeper(wanted, io)
}
