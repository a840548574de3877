import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { refusePages } from './admin/cross-site.ts'
import { createDrillRoutes, type DrillRoutesDeps } from './admin/drill.ts'
import { createTrustRoutes } from './admin/trust.ts'
import type { Metrics } from './record/metrics.ts'
import type { TrustKeeper } from './trust/keeper.ts'

export type AdminDeps = {
  metrics: Pick<Metrics, 'registry'>
  readiness: { draining: boolean }
  trust: TrustKeeper
  drill: DrillRoutesDeps
  /** Under which the listener is asked, beside addresses and localhost. */
  names: ReadonlySet<string>
}

/** The admin listener: for the operator's network, never for the one that pulls. */
export function createAdminApp(deps: AdminDeps): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const guard = refusePages(deps.names)
  app.get('/healthz', (context) => context.text('ok\n'))
  app.get('/readyz', (context) =>
    deps.readiness.draining
      ? context.text('draining\n', 503)
      : context.text(`ready\n${concerns(deps.trust)}`),
  )
  app.get('/metrics', async (context) =>
    context.body(await deps.metrics.registry.metrics(), 200, {
      'content-type': deps.metrics.registry.contentType,
    }),
  )
  app.route('/', createTrustRoutes(deps.trust, guard))
  app.route('/', createDrillRoutes(deps.drill, guard))
  return app
}

/** What somebody should look at, though images that need it not are served: one line each. */
function concerns(trust: TrustKeeper): string {
  return trust
    .status()
    .filter(({ state }) => state !== 'fresh')
    .map(
      ({ name, state, problem }) =>
        `trust ${name} is ${state}: ${problem ?? 'see portcullis trust status'}\n`,
    )
    .join('')
}
