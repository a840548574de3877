import type { Command } from 'commander'
import { createDeps, type Deps } from '../deps.ts'
import { listen, type Listener } from '../server.ts'
import { getRequestListener } from '@hono/node-server'
import { createAdminApp } from '../admin.ts'
import { createApp } from '../app.ts'
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
  const data = await listen(handlerOf(createApp(deps.app)), { ...config.listen.data, tls: deps.tls })
  const admin = await listen(handlerOf(createAdminApp({ ...deps, readiness })), config.listen.admin)
  const at = { data: data.address, admin: admin.address }
  deps.log.info({ event: 'start', listen: at, policies: deps.policies.policies.length, trust: deps.trust.version }, 'ready')
  return {
    deps,
    data,
    admin,
    async stop() {
      // Readiness turns first, so that load balancers stop sending before connections are cut.
      readiness.draining = true
      await data.close(config.shutdown.drainMs)
      await admin.close(0)
      await deps.close()
    },
  }
}

function handlerOf(app: { fetch: Parameters<typeof getRequestListener>[0] }): ReturnType<typeof getRequestListener> {
  return getRequestListener(app.fetch, { overrideGlobalObjects: false })
}

async function stopSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}
