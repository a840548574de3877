import { isIP } from 'node:net'
import type { MiddlewareHandler } from 'hono'

/**
 * Refuses what a browser sends for a page. The admin listener has no login, so a page on any site could use the browser
 * of whoever can reach it; a page that has rebound its own name to this address would even be of the same origin.
 * Browsers put `Origin` or `Sec-Fetch-Site` on every request that a page makes and that changes something, and no page
 * can take them off (Fetch, forbidden request-headers). Requests without either come from tools.
 */
export function refusePages(names: ReadonlySet<string>): MiddlewareHandler {
  return async (context, next) => {
    const origin = context.req.header('origin')
    const site = context.req.header('sec-fetch-site')
    // Over plain HTTP a browser sends neither with a GET, but it names the host that the page came from.
    const isOfPage = origin !== undefined || (site !== undefined && site !== 'none')
    if (isOfPage || !isKnownHost(context.req.header('host') ?? '', names)) {
      return context.json(
        {
          error: 'not from a web page: use the command line, and an address or a name of listen.admin.names',
        },
        403,
      )
    }
    await next()
    return undefined
  }
}

/** An address or localhost, which no page's own name can be, or a name that the operator has given the listener. */
function isKnownHost(host: string, names: ReadonlySet<string>): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || isIP(name) !== 0 || names.has(name)
}
