import type { RequestListener } from 'node:http'
import type { Command } from 'commander'
import { createDeps, type Deps } from '../deps.ts'
import { listen, type Listener } from '../server.ts'
import { getRequestListener } from '@hono/node-server'
import { createAdminApp, type AdminDeps } from '../admin.ts'
import { createDataListener } from '../app.ts'
import { ADMIN_LISTENER, DATA_LISTENER } from '../config/listen-schema.ts'
import type { Config } from '../config/schema.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'

export function registerServe(program: Command, io: CommandIo): void {
  program
    .command('serve')
    .description('run the proxy')
    .option('-c, --config <file>', 'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)')
    .action(async (options: { config?: string }) => {
      const config = await configure(options.config, io)
      if (config === undefined) return io.exit(EXIT.usage)
      let running: Running | undefined
      // From here on, or the signal would end the process; what comes before it runs is too early to change anything.
      process.on('SIGHUP', () => {
        if (running !== undefined) void reloadPolicies(running.deps)
      })
      running = await start(config, io)
      if (running === undefined) return io.exit(EXIT.usage)
      await stopSignal()
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
  readonly clients: ReadonlyMap<string, Listener>
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
      await Promise.all([...clients.values()].map((one) => one.close(config.shutdown.drainMs)))
      await admin.close(0)
      await deps.close()
    },
  }
}

type Opened =
  | { ok: true; clients: ReadonlyMap<string, Listener>; admin: Listener }
  | { ok: false; problem: string }

/** All or none. */
async function listenAll(config: Config, deps: Deps, readiness: AdminDeps['readiness']): Promise<Opened> {
  const clients = new Map<string, Listener>()
  try {
    for (const { name, at, door } of deps.listeners) {
      // oxlint-disable-next-line no-await-in-loop -- in the order of the configuration, so that the first problem is told
      clients.set(name, await listen(createDataListener(deps.app, door), at))
    }
    const onRequest = adminListener({ ...deps.admin, readiness })
    return { ok: true, clients, admin: await listen({ onRequest }, config.listen.admin) }
  } catch (error) {
    await Promise.all([...clients.values()].map((one) => one.close(0)))
    return { ok: false, problem: error instanceof Error ? error.message : 'cannot listen' }
  }
}

function adminListener(deps: AdminDeps): RequestListener {
  const listener = getRequestListener(createAdminApp(deps).fetch, { overrideGlobalObjects: false })
  // node:http waits for no promise.
  return (incoming, outgoing) => void listener(incoming, outgoing)
}

async function stopSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}
