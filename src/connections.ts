import type { Agent, Dispatcher } from 'undici'

/** What is used of a pool of connections; undici's own are such pools. */
export type Connections = {
  /** Follows no redirect. Errors are undici's own. */
  request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>
  /** Ends what runs, and all that is asked for later. */
  destroy(): Promise<void>
}

/**
 * A pool that is made with its first request. undici takes longer to load than to serve what is on disk, and a proxy that
 * starts in an outage may have nobody to ask.
 */
export function createConnections(options: Agent.Options): Connections {
  let opening: Promise<Agent> | undefined
  let isDestroyed = false
  return {
    async request(request) {
      if (isDestroyed) throw new TypeError('the connections are closed')
      opening ??= open(options)
      try {
        await opening
      } catch (error) {
        // It may have been the moment: too many open files, say. The next request tries again.
        opening = undefined
        throw error
      }
      return await (await opening).request(request)
    },
    async destroy() {
      isDestroyed = true
      await (await opening?.catch(() => undefined))?.destroy()
    },
  }
}

async function open(options: Agent.Options): Promise<Agent> {
  const undici = await import('undici')
  return new undici.Agent(options)
}
