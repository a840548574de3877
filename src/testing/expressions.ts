import assert from 'node:assert/strict'
import { compileExpressions } from '../policy/expression.ts'
import type { ClaimCheck, Shortfall } from '../policy/types.ts'
import type { Verified } from '../verify/types.ts'
import { actionsSigner, attestedBy, IMAGE } from './provenance.ts'

/** A predicate type whose shape nobody promises. */
export const CUSTOM = 'https://acme.example/approved/v1'

type Compiled = { readonly checks: readonly ClaimCheck[]; readonly problems: readonly string[] }

export function compileExpression(expression: string, type: string = CUSTOM, message?: string): Compiled {
  const problems: string[] = []
  const document = message === undefined ? { expression } : { expression, message }
  const checks = compileExpressions([document], type, ['expressions'], (_, problem) => {
    problems.push(problem)
    return undefined
  })
  return { checks, problems }
}

export function judgeExpression(
  expression: string,
  verified: Verified,
  type: string = CUSTOM,
): Shortfall | undefined {
  const { checks, problems } = compileExpression(expression, type)
  assert.deepEqual(problems, [])
  assert.equal(checks.length, 1)
  return checks[0]?.check(verified, IMAGE)
}

/** An attestation with that predicate. */
export function about(predicate: unknown): Verified {
  return attestedBy(actionsSigner(), CUSTOM, predicate)
}
