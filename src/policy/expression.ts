import { isCelError, parse, plan, type CelResult } from '@bufbuild/cel'
import { RE2JS } from 're2js'
import { FULCIO_EXTENSIONS, type Claim, type Signer, type Verified } from '../verify/types.ts'
import { Budget } from './expression-budget.ts'
import { checkExpression, type Scope } from './expression-check.ts'
import type { ExpressionDocument } from './expression-document.ts'
import { meteredEnv, signatures } from './expression-functions.ts'
import { nestingOf, partsOf, sizeOf, strict, type Expr } from './expression-strict.ts'
import { ANY, BOOL, fields, fits, list, map, STRING, typeText, type Type } from './expression-type.ts'
import { valueReader } from './expression-value.ts'
import type { Path, Report } from './problem.ts'
import { PROVENANCE_TYPES, readProvenance, type Provenance } from './provenance.ts'
import type { ClaimCheck, ImageFacts, Shortfall } from './types.ts'

/** CEL over what was verified: typed and compiled when the policy is loaded, bounded when it is evaluated. */

/** Of an expression in a message. */
const QUOTED_CHARACTERS_MAX = 160
const NODES_MAX = 500
const NESTING_MAX = 3
const INSTRUCTIONS_MAX = 256

/** `predicateType` is undefined for a plain signature. Reports what is wrong, with the place. */
export function compileExpressions(
  documents: readonly ExpressionDocument[],
  predicateType: string | undefined,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  return documents.flatMap(
    (document, index) => compileOne(document, predicateType, [...path, index, 'expression'], report) ?? [],
  )
}

function compileOne(
  { expression, message }: ExpressionDocument,
  predicateType: string | undefined,
  path: Path,
  report: Report,
): ClaimCheck | undefined {
  const parsed = parseExpression(expression)
  if (typeof parsed === 'string') return report(path, parsed)
  const patterns = new Map<string, RE2JS>()
  const problems = [
    ...sizeProblems(parsed.expr),
    ...patternProblems(parsed.expr, patterns),
    ...typeProblems(parsed.expr, scopeOf(predicateType)),
  ]
  for (const { expr, problem } of problems) {
    const offset = parsed.sourceInfo?.positions[expr.id.toString()] ?? 0
    report(path, `found ${problem}, at character ${offset + 1} of ${quote(expression)}`)
  }
  if (problems.length > 0) return undefined
  const budget = new Budget()
  const evaluate = plan(meteredEnv(budget, patterns), strict(parsed.expr))
  const names = variablesOf(parsed.expr)
  return {
    canonical: JSON.stringify(['expression', expression.trim()]),
    wording: message,
    check: (verified, image) => {
      budget.renew()
      const facts = factsOf(verified, image, names)
      const read = valueReader(budget)
      const bindings = Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, read(fact)]))
      return shortfallOf(evaluate(bindings), verified.claim, expression, message)
    },
  }
}

type Mistake = { readonly expr: Expr; readonly problem: string }

function parseExpression(expression: string): ReturnType<typeof parse> | string {
  try {
    return parse(expression)
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^<input>:/, 'line ') : 'not parseable'
    return `found no CEL expression: ${clip(reason, QUOTED_CHARACTERS_MAX)}`
  }
}

function sizeProblems(expr: Expr): readonly Mistake[] {
  const size = sizeOf(expr)
  const nesting = nestingOf(expr)
  return [
    ...(size > NODES_MAX
      ? [{ expr, problem: `an expression of ${size} parts, expected at most ${NODES_MAX}` }]
      : []),
    ...(nesting > NESTING_MAX
      ? [{ expr, problem: `macros nested ${nesting} deep, expected at most ${NESTING_MAX}` }]
      : []),
  ]
}

/** A pattern that the statement brought would be somebody else's program: only constants are compiled, and now. */
function patternProblems(expr: Expr, patterns: Map<string, RE2JS>): readonly Mistake[] {
  const inner = partsOf(expr).flatMap((part) => patternProblems(part, patterns))
  const { exprKind } = expr
  if (exprKind.case !== 'callExpr' || exprKind.value.function !== 'matches') return inner
  const pattern = exprKind.value.args[0]
  const constant = pattern?.exprKind.case === 'constExpr' ? pattern.exprKind.value.constantKind : undefined
  if (constant?.case !== 'stringValue') {
    return [...inner, { expr, problem: 'matches() without a constant pattern' }]
  }
  const problem = compilePattern(constant.value, patterns)
  return problem === undefined ? inner : [...inner, { expr, problem }]
}

function compilePattern(source: string, patterns: Map<string, RE2JS>): string | undefined {
  try {
    const pattern = RE2JS.compile(source)
    patterns.set(source, pattern)
    const size = pattern.programSize()
    return size > INSTRUCTIONS_MAX
      ? `a pattern of ${size} instructions, expected at most ${INSTRUCTIONS_MAX}`
      : undefined
  } catch (error) {
    return `no RE2 pattern: ${error instanceof Error ? error.message : 'not compilable'}`
  }
}

function typeProblems(expr: Expr, scope: Scope): readonly Mistake[] {
  const mistakes: Mistake[] = []
  const report = (at: Expr, problem: string): void => void mistakes.push({ expr: at, problem })
  const type = checkExpression(expr, scope, { functions: signatures(), report })
  if (!fits(type, BOOL)) report(expr, `an expression of type ${typeText(type)}, expected bool`)
  return mistakes
}

const SIGNER = fields({
  kind: STRING,
  trustRoot: STRING,
  issuer: STRING,
  subject: STRING,
  extensions: fields(Object.fromEntries(Object.values(FULCIO_EXTENSIONS).map((name) => [name, STRING]))),
  key: STRING,
})
const IMAGE = fields({ registry: STRING, name: STRING, digest: STRING })
const STATEMENT = fields({ predicateType: STRING, predicate: ANY })
const SLSA = fields({
  builderId: STRING,
  buildType: STRING,
  sourceRepository: STRING,
  sourceRef: STRING,
  sourceDigest: STRING,
  sourcePath: STRING,
  materials: list(fields({ uri: STRING, digests: map(STRING) })),
  invocationId: STRING,
  parameters: ANY,
})

/** A plain signature has no statement, and other statements have no provenance. */
function scopeOf(predicateType: string | undefined): Scope {
  const always: readonly (readonly [string, Type])[] = [
    ['signer', SIGNER],
    ['image', IMAGE],
  ]
  if (predicateType === undefined) return new Map(always)
  const isProvenance = PROVENANCE_TYPES.has(predicateType)
  return new Map([...always, ['statement', STATEMENT], ...(isProvenance ? [['slsa', SLSA] as const] : [])])
}

function variablesOf(expr: Expr): ReadonlySet<string> {
  const { exprKind } = expr
  const own = exprKind.case === 'identExpr' ? [exprKind.value.name] : []
  return new Set([...own, ...partsOf(expr).flatMap((part) => [...variablesOf(part)])])
}

/** The variables that are asked for, as JSON. */
function factsOf(
  { claim, signer }: Verified,
  image: ImageFacts,
  names: ReadonlySet<string>,
): Readonly<Record<string, unknown>> {
  const statement = claim.kind === 'attestation' ? claim.statement : undefined
  return {
    ...(names.has('signer') ? { signer: signerFacts(signer) } : {}),
    ...(names.has('image') ? { image } : {}),
    ...(names.has('statement') && statement !== undefined ? { statement } : {}),
    ...(names.has('slsa') && statement !== undefined
      ? { slsa: slsaFacts(readProvenance(statement.predicateType, statement.predicate)) }
      : {}),
  }
}

function signerFacts(signer: Signer): object {
  if (signer.kind === 'key') return { kind: signer.kind, key: signer.key }
  const { issuer, subject, extensions } = signer.identity
  return { kind: signer.kind, trustRoot: signer.trustRoot, issuer, subject, extensions }
}

/** What the provenance does not say is missing here too. */
function slsaFacts({ materials, ...claims }: Provenance): object {
  const said = Object.entries(claims).filter(([, claimed]) => claimed.lack === undefined)
  return {
    ...Object.fromEntries(said.map(([name, { value }]) => [name, value])),
    ...(materials.value === undefined
      ? {}
      : {
          materials: materials.value.map(({ uri, digests }) => ({
            ...(uri.value === undefined ? {} : { uri: uri.value }),
            digests: Object.fromEntries(digests),
          })),
        }),
  }
}

/** True passes, and nothing else does. */
function shortfallOf(
  result: CelResult,
  claim: Claim,
  expression: string,
  message: string | undefined,
): Shortfall | undefined {
  if (result === true) return undefined
  const subject = claim.kind === 'attestation' ? 'an attestation' : 'a signature'
  const expected = message ?? quote(expression)
  if (!isCelError(result)) {
    const outcome = result === false ? 'is false' : 'is neither true nor false'
    return { found: `${subject} for which ${quote(expression)} ${outcome}`, expected }
  }
  const isMissing = result.message.endsWith(' is missing')
  const found = isMissing
    ? `${subject} in which ${result.message}`
    : `${subject} for which ${quote(expression)} cannot be evaluated: ${clip(result.message, QUOTED_CHARACTERS_MAX)}`
  return { found, expected }
}

function quote(expression: string): string {
  return clip(expression.trim().replaceAll(/\s+/g, ' '), QUOTED_CHARACTERS_MAX)
}

function clip(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 3)}...`
}
