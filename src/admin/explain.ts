import type { HttpBindings } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import type { Asked } from '../cold-steps.ts'
import { explainCold, explainWarm, type ExplainDeps, type Explanation } from '../explain.ts'
import { serverTiming } from '../http/server-timing.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import { parseImageReference } from '../oci/reference.ts'
import { DEFAULT_RING, type Ring } from '../policy/ring.ts'
import { UpstreamError } from '../upstream/types.ts'

export type ExplainRoutesDeps = ExplainDeps & {
  /** Every ring that there is. */
  readonly rings: readonly Ring[]
}

/** Each costs as much as a cold pull until its work has ended, whoever waits for it still; and pulls come first. */
const COLD_MAX = 4
const RETRY_AFTER_SECONDS = 1
const PARAMETERS: ReadonlySet<string> = new Set(['image', 'ring'])

/**
 * Route of the admin listener: GET /explain?image=NAME[&ring=NAME] tells what a pull would get, policy by policy, why, and
 * how long each step took (`Server-Timing`). It is judged as for a pull and that is remembered, but it is no pull
 * (explain.ts). 400 with what is wrong, 429 while too many are under way, and what a pull would get where there is nothing
 * to judge.
 */
export function createExplainRoutes(
  deps: ExplainRoutesDeps,
  guard: MiddlewareHandler,
): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  let running = 0
  app.get('/explain', guard, async (context) => {
    const asked = askedIn(new URL(context.req.url).searchParams, deps.rings)
    if (typeof asked === 'string') return context.json({ error: asked }, 400)
    const warm = explainWarm(asked, deps)
    if (warm !== undefined) return explained(warm)
    if (running >= COLD_MAX) {
      const error = `${COLD_MAX} images are being explained already; ask again in a second`
      return context.json({ error }, 429, { 'retry-after': String(RETRY_AFTER_SECONDS) })
    }
    running += 1
    const work: Promise<unknown>[] = []
    try {
      return explained(await explainCold(asked, deps, (one) => work.push(one)))
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      const { status } = upstreamFailureAnswer(error, 'manifest')
      return Response.json({ error: error.message }, { status })
    } finally {
      void Promise.allSettled(work).then(() => (running -= 1))
    }
  })
  return app
}

function explained(explanation: Explanation): Response {
  const { steps, cache } = explanation
  const headers = { 'server-timing': serverTiming(steps, cache), 'cache-control': 'no-store' }
  return Response.json(explanation, { headers })
}

/** What is asked, or what is wrong with it. */
function askedIn(query: URLSearchParams, rings: readonly Ring[]): Asked | string {
  for (const name of new Set(query.keys())) {
    if (!PARAMETERS.has(name)) return `found ${JSON.stringify(name)}, expected image and ring`
    if (query.getAll(name).length > 1) return `found ${name} twice`
  }
  const image = query.get('image') ?? ''
  const parsed = parseImageReference(image)
  if (parsed === undefined)
    return `found image ${JSON.stringify(image)}, expected registry/repository:tag or registry/repository@sha256:...`
  const name = query.get('ring') ?? DEFAULT_RING
  const ring = rings.find((one) => one.name === name)
  if (ring === undefined)
    return `found ring ${JSON.stringify(name)}, expected one of ${rings.map((one) => one.name).join(', ')}`
  return { ...parsed, ring }
}
