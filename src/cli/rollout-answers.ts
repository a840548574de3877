import * as z from 'zod'

/** What the admin listener answers about the rollout; see admin/rollout.ts. */

const date = z.iso.datetime().transform((text) => new Date(text))
const mode = z.enum(['off', 'observe', 'enforce'])

const row = z.object({
  policy: z.string(),
  ring: z.string(),
  mode,
  origin: z.string(),
  isJudged: z.boolean(),
  since: date,
  days: z.number(),
  pulls: z.int(),
  images: z.int(),
  signed: z.int(),
  withProvenance: z.int(),
  gapImages: z.int(),
  wouldBlocks: z.int(),
  reasons: z.array(z.object({ because: z.string(), images: z.int(), pulls: z.int() })),
  gaps: z.array(
    z.object({
      image: z.string(),
      tags: z.array(z.string()),
      kind: z.enum(['block', 'hold']),
      because: z.string(),
      pulls: z.int(),
      lastAt: date,
      counts: z.boolean(),
    }),
  ),
  criteria: z
    .array(
      z.object({
        name: z.enum(['days', 'pulls', 'images', 'would-blocks']),
        have: z.number(),
        need: z.number(),
        holds: z.boolean(),
      }),
    )
    .optional(),
  isNext: z.boolean(),
})

export const reportAnswer = z.object({ at: date, rings: z.array(z.string()), rows: z.array(row) })

const promotion = z.object({
  id: z.int().nullable(),
  at: date,
  policy: z.string(),
  ring: z.string(),
  from: mode,
  to: mode,
  policyVersion: z.string(),
  by: z.string(),
  isMet: z.boolean(),
  criteria: z.string(),
  override: z.string().optional(),
})

export const promotedAnswer = z.object({
  promotion,
  /** It was on record before. */
  isRepeat: z.boolean().default(false),
  unmet: z.array(z.string()),
  write: z.object({ path: z.string(), value: z.enum(['observe', 'enforce']), origin: z.string() }),
})

export const historyAnswer = z.object({ promotions: z.array(promotion) })

export type ReportAnswer = z.output<typeof reportAnswer>
export type RowAnswer = z.output<typeof row>
export type PromotedAnswer = z.output<typeof promotedAnswer>
export type PromotionAnswer = z.output<typeof promotion>
