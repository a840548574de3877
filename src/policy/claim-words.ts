import * as z from 'zod'
import { isRecord } from './problem.ts'
import type { ClaimCheck } from './types.ts'

/** What a check demands, in plain words: one clause for each thing that could be demanded without the others. */

const matcher = z
  .string()
  .transform((json, context) => parsed(json, z.tuple([z.string(), z.string()]), context)?.[1] ?? '')

const builder = z.string().transform((json, context) => {
  const [text, level] = parsed(json, z.tuple([matcher, z.int()]), context) ?? ['', 0]
  return level === 0 ? text : `${text} (as level ${level})`
})

/** The canonical forms of the checks that have fields. */
const slsa = z.tuple([
  z.literal('slsa'),
  z.int(),
  z.array(builder),
  z.array(z.tuple([z.string(), z.array(matcher)])),
])
const expression = z.tuple([z.literal('expression'), z.string()])
const summaryPassed = z.tuple([z.literal('vsa-passed')])
const summary = z.tuple([
  z.literal('vsa'),
  z.array(matcher),
  z.array(z.string()),
  z.array(matcher),
  z.array(matcher),
])

const SLSA_WORDS: ReadonlyMap<string, string> = new Map([
  ['sources', 'source'],
  ['sourceRefs', 'source ref'],
  ['buildTypes', 'build type'],
  ['materials', 'only materials'],
  ['invocations', 'invocation'],
])

/** One thing that is demanded: of the field any one of the values. */
export type Clause = { readonly field: string; readonly anyOf: readonly string[] }

export const LEVEL_FIELD = 'SLSA Build level'

export function clauseText({ field, anyOf }: Clause): string {
  return `${field} ${anyOf.join(' or ')}`
}

/** Of a check in a form that is not known here the check itself is the only value: nothing is left out. */
export function claimClauses({ canonical }: ClaimCheck): readonly Clause[] {
  const json = valueOf(canonical)
  const asSlsa = slsa.safeParse(json)
  if (asSlsa.success) return slsaClauses(asSlsa.data)
  const asSummary = summary.safeParse(json)
  if (asSummary.success) return summaryClauses(asSummary.data)
  if (summaryPassed.safeParse(json).success) return [{ field: 'result', anyOf: ['PASSED'] }]
  const asExpression = expression.safeParse(json)
  if (asExpression.success) return [{ field: 'expression', anyOf: [asExpression.data[1]] }]
  return [{ field: 'check', anyOf: [canonical] }]
}

function slsaClauses([, level, builders, rules]: z.output<typeof slsa>): readonly Clause[] {
  return [
    ...(builders.length === 0 ? [] : [{ field: 'builder', anyOf: builders }]),
    ...(level === 0 ? [] : [{ field: LEVEL_FIELD, anyOf: [String(level)] }]),
    ...rules.map(([field, anyOf]) => ({ field: SLSA_WORDS.get(field) ?? field, anyOf })),
  ]
}

function summaryClauses([, verifiers, levels, resources, policies]: z.output<
  typeof summary
>): readonly Clause[] {
  return [
    { field: 'verifier', anyOf: verifiers },
    ...levels.map((level) => ({ field: 'verified level', anyOf: [level] })),
    { field: 'resource', anyOf: resources.length === 0 ? ['of this image'] : resources },
    ...(policies.length === 0 ? [] : [{ field: 'policy', anyOf: policies }]),
  ]
}

function valueOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) || Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function parsed<T>(json: string, schema: z.ZodType<T>, context: z.core.$RefinementCtx): T | undefined {
  const result = schema.safeParse(valueOf(json))
  if (result.success) return result.data
  context.addIssue({ code: 'custom', message: 'another form' })
  return undefined
}
