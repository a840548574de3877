import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { refusePages } from './admin/cross-site.ts'
import { createDrillRoutes, type DrillRoutesDeps } from './admin/drill.ts'
import { createExplainRoutes, type ExplainRoutesDeps } from './admin/explain.ts'
import { createPolicyRoutes } from './admin/policies.ts'
import { createRolloutRoutes, type RolloutRoutesDeps } from './admin/rollout.ts'
import { createTrustRoutes } from './admin/trust.ts'
import type { PolicyKeeper } from './policy-source/keeper.ts'
import type { Metrics } from './record/metrics.ts'
import type { TrustKeeper } from './trust/keeper.ts'
import type { WorkerRole } from './workers/messages.ts'
import type { Standing } from './workers/supervisor.ts'

export type AdminDeps = {
  metrics: { readonly registry: Pick<Metrics['registry'], 'metrics' | 'contentType'> }
  readiness: Readiness
  trust: TrustKeeper
  policies: PolicyKeeper
  drill: DrillRoutesDeps
  explain: ExplainRoutesDeps
  rollout: RolloutRoutesDeps
  /** Under which the listener is asked, beside addresses and localhost. */
  names: ReadonlySet<string>
  /** Resolves when all processes go by what was changed so far. */
  settled?: () => Promise<void>
}

type Readiness = {
  draining: boolean
  /** Worker processes; undefined: there are none. */
  readonly workers?: Readonly<Record<WorkerRole, () => Standing>>
}

/** The admin listener: for the operator's network, never for the one that pulls. */
export function createAdminApp(deps: AdminDeps): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const guard = refusePages(deps.names)
  app.use(async (context, next) => {
    await next()
    // What somebody has changed counts for the next pull of theirs, whichever process gets it.
    if (context.req.method !== 'GET') await deps.settled?.()
  })
  // Under any name: probes ask by names that they like, and what these two tell is no secret.
  app.get('/healthz', (context) => context.text('ok\n'))
  app.get('/readyz', (context) => {
    const { draining, workers } = deps.readiness
    if (draining) return context.text('draining\n', 503)
    if (workers?.serving().listening === 0) return context.text('no worker listens\n', 503)
    const missing = workers === undefined ? '' : missingOf(workers)
    return context.text(`ready\n${missing}${trustConcerns(deps.trust)}${policyConcern(deps.policies)}`)
  })
  app.get('/metrics', guard, async (context) =>
    context.body(await deps.metrics.registry.metrics(), 200, {
      'content-type': deps.metrics.registry.contentType,
    }),
  )
  app.route('/', createTrustRoutes(deps.trust, guard))
  app.route('/', createPolicyRoutes(deps.policies, guard))
  app.route('/', createDrillRoutes(deps.drill, guard))
  app.route('/', createExplainRoutes(deps.explain, guard))
  app.route('/', createRolloutRoutes(deps.rollout, guard))
  return app
}

/** Pulls are answered all the same: by the others, and without cold workers by those that serve. */
function missingOf({ serving, cold }: NonNullable<Readiness['workers']>): string {
  const lines = [['workers', serving()] as const, ['cold workers', cold()] as const]
  return lines
    .map(([what, { listening, count }]) =>
      listening === count ? '' : `${listening} of ${count} ${what} listen\n`,
    )
    .join('')
}

/** What somebody should look at, though images that need it not are served: one line each. */
function trustConcerns(trust: TrustKeeper): string {
  return trust
    .status()
    .filter(({ state }) => state !== 'fresh')
    .map(
      ({ name, state, problem }) =>
        `trust ${name} is ${state}: ${problem ?? 'see portcullis trust status'}\n`,
    )
    .join('')
}

/** Ready all the same: a proxy that holds every image says why to whoever pulls, and one that is away says nothing. */
function policyConcern({ trouble, inForce }: PolicyKeeper): string {
  if (trouble === undefined) return ''
  const { problems, since } = trouble
  const stay = inForce.origin === undefined ? 'every image is held' : 'those in force stay'
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''
  return `policies since ${since.toISOString()}: ${problems[0] ?? 'cannot be read'}${more}; ${stay}\n`
}
