import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'

/** Routes on a loopback port, through the same adapter as the admin listener: its requests are not those of `fetch`. */
export async function serveRoutes(app: {
  fetch: Parameters<typeof getRequestListener>[0]
}): Promise<AsyncDisposable & { readonly url: string }> {
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
