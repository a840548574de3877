import { createRequire } from 'node:module'
import * as z from 'zod'
import type * as Expression from './expression.ts'
import type { Path, Report } from './problem.ts'
import type { ClaimCheck } from './types.ts'

const EXPRESSIONS_MAX = 16
const EXPRESSION_CHARACTERS_MAX = 2048
const MESSAGE_CHARACTERS_MAX = 200

export const expressionsSchema = z
  .array(
    z.strictObject({
      expression: z
        .string()
        .min(1, 'expected a CEL expression')
        .max(EXPRESSION_CHARACTERS_MAX)
        .describe('CEL over `statement`, `slsa`, `signer` and `image`; must be true.'),
      message: z
        .string()
        .min(1, 'expected some text')
        .max(MESSAGE_CHARACTERS_MAX)
        .optional()
        .describe('What the refusal says is expected, instead of the expression itself.'),
    }),
  )
  .min(1)
  .max(EXPRESSIONS_MAX)

export type ExpressionDocument = z.output<typeof expressionsSchema>[number]

const load = createRequire(import.meta.url)

/**
 * `predicateType` is undefined for a plain signature. Reports what is wrong, with the place. An evaluator of CEL takes longer
 * to load than the whole rest of a start, and most policies have no expression: it is loaded for the first that has one, at
 * once, because policies are compiled without waiting for anything.
 */
export function compileExpressions(
  documents: readonly ExpressionDocument[],
  predicateType: string | undefined,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  if (documents.length === 0) return []
  const expression: typeof Expression = load('./expression.ts')
  return expression.compileExpressions(documents, predicateType, path, report)
}
