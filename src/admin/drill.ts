import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context, type MiddlewareHandler } from 'hono'
import * as z from 'zod'
import { DRILL_DEPENDENCIES, DRILL_MS_MAX, type Drill, type Drills } from '../drill.ts'
import { replay, type JudgeFresh, type RecentPulls, type ReplayReport } from '../replay.ts'
import { readJson } from './json-body.ts'

export type DrillRoutesDeps = {
  readonly drills: Drills
  /** The latest first. */
  readonly recent: () => Promise<ReturnType<RecentPulls['list']>>
  readonly judgeFresh: JudgeFresh
  /** How long one replay may take. */
  readonly replayLimit: () => AbortSignal
}

const BODY_BYTES_MAX = 4 * 1024
const BY_LENGTH_MAX = 64

const StartDrill = z.strictObject({
  dependencies: z
    .array(z.enum(DRILL_DEPENDENCIES))
    .min(1)
    .max(DRILL_DEPENDENCIES.length)
    .refine((names) => new Set(names).size === names.length, 'each name once'),
  seconds: z
    .int()
    .min(1)
    .max(DRILL_MS_MAX / 1_000),
  /** The dependencies once more, so that nobody takes one away by accident. */
  confirm: z.array(z.string()).max(DRILL_DEPENDENCIES.length),
  by: z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'expected printable ASCII')
    .max(BY_LENGTH_MAX)
    .optional(),
})

type Env = { Bindings: HttpBindings }

/**
 * Routes of the admin listener. POST /drill starts a drill (201; 400 with what is wrong; 409 while another runs), GET
 * tells of it, DELETE ends it, POST /drill/replay says what a restarted proxy would do with recent pulls now.
 */
export function createDrillRoutes(deps: DrillRoutesDeps, guard: MiddlewareHandler): Hono<Env> {
  const app = new Hono<Env>()
  let replaying: Promise<ReplayReport> | undefined
  app.use('/drill/*', guard)
  app.get('/drill', (context) => context.json({ drill: deps.drills.status() ?? null }))
  app.post('/drill', async (context) => {
    const read = await readStart(context)
    if (!read.ok) return context.json({ error: read.problem }, read.status)
    const { dependencies, seconds, by } = read.start
    const who = `${by ?? 'somebody'} at ${addressOf(context)}`
    const { ok, drill } = deps.drills.start({ dependencies, forMs: seconds * 1_000, by: who })
    if (ok) return context.json({ drill }, 201)
    return context.json({ error: `a drill is running already: ${describe(drill)}`, drill }, 409)
  })
  app.delete('/drill', (context) => context.json({ stopped: deps.drills.stop() ?? null }))
  app.post('/drill/replay', async (context) => {
    // One at a time, however many ask: each costs as much as a start with cold memory.
    replaying ??= (async () =>
      await replay(await deps.recent(), deps.judgeFresh, deps.replayLimit()))().finally(() => {
      replaying = undefined
    })
    const report = await replaying
    return context.json({ drill: deps.drills.status() ?? null, report })
  })
  return app
}

type Read =
  | { readonly ok: true; readonly start: z.output<typeof StartDrill> }
  | { readonly ok: false; readonly status: 400 | 411 | 413 | 415; readonly problem: string }

async function readStart(context: Context<Env>): Promise<Read> {
  const read = await readJson(context, StartDrill, BODY_BYTES_MAX)
  if (!read.ok) return read
  const start = read.value
  const repeated = start.confirm.toSorted().join() === start.dependencies.toSorted().join()
  if (repeated) return { ok: true, start }
  const expected = JSON.stringify(start.dependencies)
  const problem = `confirm: expected the dependencies once more, ${expected}; nothing was taken away`
  return { ok: false, status: 400, problem }
}

function describe({ dependencies, by, endsAt }: Drill): string {
  return `${dependencies.join(', ')} until ${endsAt.toISOString()}, started by ${by}`
}

function addressOf(context: Context<Env>): string {
  return context.env.incoming.socket.remoteAddress ?? 'an unknown address'
}
