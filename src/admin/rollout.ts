import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context, type MiddlewareHandler } from 'hono'
import * as z from 'zod'
import type { PolicySet } from '../policy/types.ts'
import { decidePromotion, recordedBefore, type PromotionAnswer } from '../rollout/promotion.ts'
import { rolloutReport, type RolloutReport } from '../rollout/report.ts'
import { StoreError } from '../store/error.ts'
import type { StateStore } from '../store/types.ts'
import { readJson } from './json-body.ts'

export type RolloutRoutesDeps = {
  /** In force now. */
  readonly policies: () => PolicySet
  /** In the order in which they get something new; see `ringOrder`. */
  readonly rings: readonly string[]
  readonly state: Pick<StateStore, 'rolloutStages' | 'sightings' | 'recordPromotion' | 'promotions'>
  /** Writes what was counted since the last time. */
  readonly settle: () => Promise<void>
  readonly now: () => Date
  /** Lets requests that wait be answered. */
  readonly pause: () => Promise<void>
}

type Env = { Bindings: HttpBindings }

const BODY_BYTES_MAX = 8 * 1024
/** Shown, and looked through for the same one. */
const PROMOTIONS_READ_MAX = 1_000

const line = (charactersMax: number) =>
  z
    .string()
    .trim()
    .min(1, 'expected some text')
    .max(charactersMax)
    .regex(/^[\x20-\x7e]*$/, 'expected one line of printable ASCII')

const StartPromotion = z.strictObject({
  policy: line(63),
  ring: line(63),
  to: z.enum(['observe', 'enforce']),
  by: line(64).default('somebody'),
  override: line(500).optional(),
  /** Of the policy that is to be written to, where whoever asks has it. */
  policyVersion: line(128).optional(),
  /** Answers as it would, and records nothing. */
  dryRun: z.boolean().default(false),
})

/**
 * Routes of the admin listener. GET /rollout (`?policy=`, `?ring=`) tells how far each policy is in each ring. POST
 * /rollout/promotions decides about a step by what this proxy has seen, and records it: 201 with what to write (200 where it is
 * on record and not in force yet), 409 with what is not met. GET of the same tells what was decided.
 */
export function createRolloutRoutes(deps: RolloutRoutesDeps, guard: MiddlewareHandler): Hono<Env> {
  const app = new Hono<Env>()
  let reporting: Promise<RolloutReport> | undefined
  app.use('/rollout/*', guard)
  app.onError((error, context) => {
    if (error instanceof StoreError) return context.json({ error: error.message }, 503)
    throw error
  })
  app.get('/rollout', async (context) => {
    // One at a time, however many ask: there may be hundreds of thousands of images.
    reporting ??= report(deps).finally(() => {
      reporting = undefined
    })
    const { rows, ...rest } = await reporting
    const [policy, ring] = [context.req.query('policy'), context.req.query('ring')]
    const asked = rows.filter(
      (row) => (policy ?? row.policy) === row.policy && (ring ?? row.ring) === row.ring,
    )
    if (asked.length === 0) return context.json({ error: 'there is no such policy or ring' }, 404)
    return context.json({ ...rest, rows: asked })
  })
  app.get('/rollout/promotions', (context) =>
    context.json({ promotions: deps.state.promotions(PROMOTIONS_READ_MAX) }),
  )
  app.post('/rollout/promotions', async (context) => {
    const read = await readJson(context, StartPromotion, BODY_BYTES_MAX)
    if (!read.ok) return context.json({ error: read.problem }, read.status)
    const { override, policyVersion, dryRun, ...asked } = read.value
    const by = `${asked.by} at ${addressOf(context)}`
    const answer = decidePromotion(await report(deps), { ...asked, by, override, policyVersion })
    if (answer.kind !== 'granted') return context.json(...refusal(answer))
    const { promotion, since, unmet } = answer
    const write = { path: `spec.rings.${asked.ring}`, value: asked.to, origin: answer.origin }
    if (dryRun) return context.json({ promotion: { ...promotion, id: null }, unmet, write })
    const recorded = recordedBefore(promotion, since, deps.state.promotions(PROMOTIONS_READ_MAX))
    if (recorded !== undefined) return context.json({ promotion: recorded, isRepeat: true, unmet, write })
    const id = deps.state.recordPromotion(promotion)
    return context.json({ promotion: { ...promotion, id }, unmet, write }, 201)
  })
  return app
}

async function report({
  policies,
  rings,
  state,
  settle,
  now,
  pause,
}: RolloutRoutesDeps): Promise<RolloutReport> {
  await settle()
  const input = { set: policies(), rings, stages: state.rolloutStages(), now: now() }
  return await rolloutReport(input, (since) => state.sightings(since), pause)
}

function refusal(
  answer: Exclude<PromotionAnswer, { kind: 'granted' }>,
): [{ error: string; unmet: readonly string[] }, 404 | 409] {
  switch (answer.kind) {
    case 'unknown':
      return [{ error: answer.problem, unmet: [] }, 404]
    case 'pointless':
      return [{ error: answer.problem, unmet: [] }, 409]
    case 'refused':
      return [{ error: 'not every criterion holds', unmet: answer.unmet }, 409]
  }
}

function addressOf(context: Context<Env>): string {
  return context.env.incoming.socket.remoteAddress ?? 'an unknown address'
}
