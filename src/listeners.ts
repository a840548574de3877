import type { RequestListener } from 'node:http'
import type { AdminDeps } from './admin.ts'
import { createDataListener, type AppDeps } from './app.ts'
import type { Config } from './config/schema.ts'
import { listen, type Listener } from './server.ts'
import type { DataListener } from './wiring.ts'

/** By name, in the order of the configuration. */
export type ClientListeners = ReadonlyMap<string, Listener>

/** Opens every listener where clients pull: all or none. Rejects with what is wrong with the first that cannot be. */
export async function listenToClients(
  app: AppDeps,
  listeners: readonly DataListener[],
): Promise<ClientListeners> {
  const opened = new Map<string, Listener>()
  try {
    for (const { name, at, door } of listeners) {
      // oxlint-disable-next-line no-await-in-loop -- in the order of the configuration, so that the first problem is told
      opened.set(name, await listen(createDataListener(app, door), at))
    }
    return opened
  } catch (error) {
    await closeAll(opened, 0)
    throw error
  }
}

export async function listenToOperators(deps: AdminDeps, { listen: at }: Config): Promise<Listener> {
  return await listen({ onRequest: whenFirstAsked(async () => await loadAdmin(deps)) }, at.admin)
}

/** What operators ask for is loaded with the first question: a start in an outage is waited for by those who pull. */
async function loadAdmin(deps: AdminDeps): Promise<RequestListener> {
  const [{ getRequestListener }, { createAdminApp }] = await Promise.all([
    import('@hono/node-server'),
    import('./admin.ts'),
  ])
  const listener = getRequestListener(createAdminApp(deps).fetch, { overrideGlobalObjects: false })
  // node:http waits for no promise.
  return (incoming, outgoing) => void listener(incoming, outgoing)
}

/** Who asks after a failure tries again: it may have been the moment, too many open files, say. */
export function whenFirstAsked(load: () => Promise<RequestListener>): RequestListener {
  let loading: Promise<RequestListener> | undefined
  return (incoming, outgoing) => {
    loading ??= load()
    loading.then(
      (listener) => listener(incoming, outgoing),
      (error: unknown) => {
        loading = undefined
        const why = error instanceof Error ? error.message : String(error)
        outgoing.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' })
        outgoing.end(
          `the code for operators cannot be loaded: ${why}; try again, or install this release again\n`,
        )
      },
    )
  }
}

export async function closeAll(listeners: ClientListeners, drainMs: number): Promise<void> {
  await Promise.all([...listeners.values()].map((one) => one.close(drainMs)))
}

/** Of what `listen` rejects with. */
export function listenProblem(error: unknown): string {
  return error instanceof Error ? error.message : 'cannot listen'
}
