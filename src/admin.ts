import { Hono } from 'hono'
import type { Metrics } from './record/metrics.ts'

export type AdminDeps = { metrics: Pick<Metrics, 'registry'>; readiness: { draining: boolean } }

/** The admin listener: for the operator's network, never for the one that pulls. */
export function createAdminApp(deps: AdminDeps): Hono {
  const app = new Hono()
  app.get('/healthz', (context) => context.text('ok\n'))
  app.get('/readyz', (context) =>
    deps.readiness.draining ? context.text('draining\n', 503) : context.text('ready\n'),
  )
  app.get('/metrics', async (context) =>
    context.body(await deps.metrics.registry.metrics(), 200, {
      'content-type': deps.metrics.registry.contentType,
    }),
  )
  return app
}
