import { Hono, type MiddlewareHandler } from 'hono'
import * as z from 'zod'
import type { TrustKeeper } from '../trust/keeper.ts'

const REFRESH_LIMIT_MS = 60_000
const NAMES_MAX = 64
const BODY_BYTES_MAX = 4 * 1024

const refreshBody = z.strictObject({ names: z.array(z.string()).max(NAMES_MAX).default([]) })

/** Routes of the admin listener: GET /trust and /trust/NAME/document; POST /trust/refresh with `{"names": […]}`. */
export function createTrustRoutes(keeper: TrustKeeper, guard: MiddlewareHandler): Hono {
  const routes = new Hono()
  routes.use('/trust', guard)
  routes.use('/trust/*', guard)
  routes.get('/trust', (context) =>
    context.json({ version: keeper.snapshot.version, sources: keeper.status() }),
  )
  routes.get('/trust/:name/document', (context) => {
    const document = keeper.snapshot.roots.get(context.req.param('name'))?.[0]?.json
    if (document === undefined) return context.text('no usable trust root of this name\n', 404)
    return context.body(document, 200, { 'content-type': 'application/json' })
  })
  routes.post('/trust/refresh', async (context) => {
    // The HTTP parser holds a client to the length that it names, so naming one is enough.
    const length = Number(context.req.header('content-length'))
    if (Number.isNaN(length)) return context.text('expected a Content-Length\n', 411)
    if (length > BODY_BYTES_MAX) return context.text(`more than ${BODY_BYTES_MAX} bytes\n`, 413)
    const body = refreshBody.safeParse(await context.req.json().catch(() => undefined))
    if (!body.success) return context.text(`expected {"names": [...]}: ${z.prettifyError(body.error)}\n`, 400)
    const { names } = body.data
    const failed = await keeper.refresh(
      names.length === 0 ? 'all' : names,
      AbortSignal.timeout(REFRESH_LIMIT_MS),
    )
    return context.json({ failed: Object.fromEntries(failed), version: keeper.snapshot.version })
  })
  return routes
}
