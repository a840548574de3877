import type { RequestListener } from 'node:http'
import type { Command } from 'commander'
import { createDeps, type Deps } from '../deps.ts'
import { listen, type ListenHandler, type Listener } from '../server.ts'
import { getRequestListener } from '@hono/node-server'
import { createAdminApp, type AdminDeps } from '../admin.ts'
import { createDataListener } from '../app.ts'
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
      const running = await start(config, io)
      if (running === undefined) return io.exit(EXIT.usage)
      await stopSignal()
      await running.stop()
      return io.exit(EXIT.ok)
    })
}

export type Running = {
  readonly deps: Deps
  readonly data: Listener
  readonly admin: Listener
  /** Drains both listeners, then closes what they used. */
  stop(): Promise<void>
}

/** Starts both listeners, or says on stderr why not and gives undefined. */
export async function start(config: Config, io: CommandIo): Promise<Running | undefined> {
  const created = await createDeps(config)
  if (!created.ok) {
    io.stderr(created.problems.map((problem) => `${problem}\n`).join(''))
    return undefined
  }
  const { deps } = created
  const readiness = { draining: false }
  const listeners = await listenAll(config, createDataListener(deps.app), {
    ...deps.admin,
    tls: deps.tls,
    readiness,
  })
  if (!listeners.ok) {
    io.stderr(`portcullis: ${listeners.problem}\n`)
    await deps.close()
    return undefined
  }
  const { data, admin } = listeners
  const at = { data: data.address, admin: admin.address }
  deps.log.info(
    {
      event: 'start',
      listen: at,
      policies: deps.policies.policies.length,
      trust: deps.trust.snapshot.version,
    },
    'ready',
  )
  return {
    deps,
    data,
    admin,
    async stop() {
      // Whoever still asks the admin listener is told; the data listener takes no new connection from here on.
      readiness.draining = true
      await data.close(config.shutdown.drainMs)
      await admin.close(0)
      await deps.close()
    },
  }
}

type Listeners = { ok: true; data: Listener; admin: Listener } | { ok: false; problem: string }

/** Both or neither. */
async function listenAll(
  config: Config,
  data: ListenHandler,
  deps: AdminDeps & { tls: Deps['tls'] },
): Promise<Listeners> {
  const at = config.listen
  let first: Listener | undefined
  try {
    first = await listen(data, { ...at.data, tls: deps.tls })
    return { ok: true, data: first, admin: await listen({ onRequest: adminListener(deps) }, at.admin) }
  } catch (error) {
    await first?.close(0)
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
