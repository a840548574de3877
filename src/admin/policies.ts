import { Hono, type MiddlewareHandler } from 'hono'
import type { Policy, Revocation } from '../policy/types.ts'
import type { PolicyKeeper } from '../policy-source/keeper.ts'
import { originText } from '../policy-source/source.ts'

const RELOAD_LIMIT_MS = 60_000

/** Routes of the admin listener: GET /policies; POST /policies/reload, which answers 422 where what there is is refused. */
export function createPolicyRoutes(keeper: PolicyKeeper, guard: MiddlewareHandler): Hono {
  const routes = new Hono()
  routes.use('/policies', guard)
  routes.use('/policies/*', guard)
  routes.get('/policies', (context) => context.json(reportOf(keeper)))
  routes.post('/policies/reload', async (context) => {
    const isLoaded = await keeper.reload(AbortSignal.timeout(RELOAD_LIMIT_MS))
    const status = isLoaded ? 200 : keeper.trouble?.isOutage === true ? 503 : 422
    return context.json(reportOf(keeper), status)
  })
  return routes
}

function reportOf({ inForce, trouble, readAt }: PolicyKeeper): object {
  const { set, origin, since } = inForce
  return {
    version: set.version,
    source: origin === undefined ? null : { text: originText(origin), ...origin },
    loadedAt: since,
    readAt: readAt ?? null,
    /** Why what the source has is not in force; null where it is. */
    problem: trouble ?? null,
    unmatched: set.unmatched,
    policies: set.policies.map((policy) => ({ ...ruleOf(policy), stance: policy.stance })),
    revocations: set.revocations.map(ruleOf),
  }
}

function ruleOf({ name, version, origin, mode, modes }: Policy | Revocation): object {
  return { name, version, origin, mode, modes: { ...modes, byRing: Object.fromEntries(modes.byRing) } }
}
