import { unparse, type parse } from '@bufbuild/cel'
import { STRICT } from './expression-functions.ts'

export type Expr = ReturnType<typeof parse>['expr']
export type ExprOf<Case extends Expr['exprKind']['case']> = Extract<Expr['exprKind'], { case: Case }>['value']

type Entry = ExprOf<'structExpr'>['entries'][number]

/** How CEL's macros call their accumulator. */
export const ACCUMULATOR = '@result'

/**
 * The same expression, such that an error in any part that is evaluated is an error of the whole. CEL lets `a || true` be
 * true though `a` cannot be evaluated: a missing field could hide behind it. So `&&` and `||` become conditionals, which
 * go from left to right, and macros stop at the first error. Fields are read by a function that can name them, and
 * every comprehension tells the budget what it is about to do.
 */
export function strict(expr: Expr): Expr {
  const { exprKind } = expr
  switch (exprKind.case) {
    case 'selectExpr':
      return strictSelect(exprKind.value)
    case 'callExpr':
      return strictCall(expr, exprKind.value)
    case 'listExpr': {
      const elements = exprKind.value.elements.map(strict)
      return { ...expr, exprKind: { case: 'listExpr', value: { ...exprKind.value, elements } } }
    }
    case 'structExpr': {
      const entries = exprKind.value.entries.map(strictEntry)
      return { ...expr, exprKind: { case: 'structExpr', value: { ...exprKind.value, entries } } }
    }
    case 'comprehensionExpr':
      return strictComprehension(expr, exprKind.value)
    case 'constExpr':
    case 'identExpr':
    case undefined:
      return expr
  }
}

/** How many nodes it has: what one evaluation of it takes, comprehensions counted once. */
export function sizeOf(expr: Expr | undefined): number {
  return expr === undefined ? 0 : 1 + partsOf(expr).reduce((sum, part) => sum + sizeOf(part), 0)
}

/** How deep comprehensions are nested in it. */
export function nestingOf(expr: Expr): number {
  const { exprKind } = expr
  if (exprKind.case !== 'comprehensionExpr') return Math.max(0, ...partsOf(expr).map(nestingOf))
  const { iterRange, loopStep } = exprKind.value
  const range = iterRange === undefined ? 0 : nestingOf(iterRange)
  return Math.max(range, 1 + (loopStep === undefined ? 0 : nestingOf(loopStep)))
}

export function partsOf({ exprKind }: Expr): readonly Expr[] {
  switch (exprKind.case) {
    case 'selectExpr':
      return present([exprKind.value.operand])
    case 'callExpr':
      return present([exprKind.value.target, ...exprKind.value.args])
    case 'listExpr':
      return exprKind.value.elements
    case 'structExpr':
      return present(exprKind.value.entries.flatMap((entry) => [mapKey(entry), entry.value]))
    case 'comprehensionExpr': {
      const { accuInit, iterRange, loopCondition, loopStep, result } = exprKind.value
      return present([accuInit, iterRange, loopCondition, loopStep, result])
    }
    case 'constExpr':
    case 'identExpr':
    case undefined:
      return []
  }
}

function mapKey({ keyKind }: Entry): Expr | undefined {
  return keyKind.case === 'mapKey' ? keyKind.value : undefined
}

function present(parts: readonly (Expr | undefined)[]): readonly Expr[] {
  return parts.filter((part) => part !== undefined)
}

function strictEntry(entry: Entry): Entry {
  const key = mapKey(entry)
  return {
    ...entry,
    ...(key === undefined ? {} : { keyKind: { case: 'mapKey' as const, value: strict(key) } }),
    ...(entry.value === undefined ? {} : { value: strict(entry.value) }),
  }
}

function strictSelect(select: ExprOf<'selectExpr'>): Expr {
  const { operand, field, testOnly } = select
  const target = operand === undefined ? [] : [strict(operand)]
  if (testOnly) return call(STRICT.has, [...target, text(field)])
  return call(STRICT.get, [...target, text(field), text(`${sourceOf(operand)}.${field}`)])
}

function strictCall(expr: Expr, { function: name, target, args }: ExprOf<'callExpr'>): Expr {
  const parts = args.map(strict)
  const [first, second] = parts
  if (name === '_&&_') return parts.reduceRight((rest, one) => when(one, truth(rest), bool(false)))
  if (name === '_||_') return parts.reduceRight((rest, one) => when(one, bool(true), truth(rest)))
  if (name === '@not_strictly_false' && first !== undefined) return first
  if (name === '_[_]' && first !== undefined && second !== undefined) {
    return call(STRICT.get, [first, second, text(sourceOf(expr))])
  }
  const appended = name === '_+_' ? appendedOf(args) : undefined
  if (first !== undefined && appended !== undefined) return call(STRICT.append, [first, strict(appended)])
  const value = { ...callOf(name, parts), ...(target === undefined ? {} : { target: strict(target) }) }
  return { ...expr, exprKind: { case: 'callExpr', value } }
}

/** `map` and `filter` add lists of one to their accumulator. */
function appendedOf([list, one]: readonly Expr[]): Expr | undefined {
  const isAccumulator = list?.exprKind.case === 'identExpr' && list.exprKind.value.name === ACCUMULATOR
  return isAccumulator && one?.exprKind.case === 'listExpr' ? one.exprKind.value.elements[0] : undefined
}

function strictComprehension(expr: Expr, comprehension: ExprOf<'comprehensionExpr'>): Expr {
  const { accuInit, iterRange, loopCondition, loopStep, result } = comprehension
  if (
    accuInit === undefined ||
    iterRange === undefined ||
    loopCondition === undefined ||
    loopStep === undefined ||
    result === undefined
  ) {
    return expr
  }
  const value = {
    ...comprehension,
    accuInit: accuInit.exprKind.case === 'listExpr' ? call(STRICT.list, []) : accuInit,
    iterRange: call(STRICT.items, [strict(iterRange), int(sizeOf(loopCondition) + sizeOf(loopStep))]),
    loopCondition: strict(loopCondition),
    loopStep: strict(loopStep),
    result: strict(result),
  }
  return { ...expr, exprKind: { case: 'comprehensionExpr', value } }
}

/** As the operator would write it, for messages. */
function sourceOf(expr: Expr | undefined): string {
  if (expr === undefined) return '?'
  const { exprKind } = expr
  if (exprKind.case === 'identExpr') return exprKind.value.name
  if (exprKind.case === 'selectExpr') return `${sourceOf(exprKind.value.operand)}.${exprKind.value.field}`
  if (exprKind.case === 'constExpr') return unparse(expr)
  if (exprKind.case !== 'callExpr' || exprKind.value.function !== '_[_]') return '(…)'
  const [target, key] = exprKind.value.args
  return `${sourceOf(target)}[${sourceOf(key)}]`
}

function when(condition: Expr, then: Expr, otherwise: Expr): Expr {
  return call('_?_:_', [condition, then, otherwise])
}

/** A conditional gives back whatever its branch is; `&&` and `||` take nothing but truth values. */
function truth(expr: Expr): Expr {
  return when(expr, bool(true), bool(false))
}

/** Nodes that nobody wrote have no place in the source: id 0. */
function node(exprKind: Expr['exprKind']): Expr {
  return { $typeName: 'cel.expr.Expr', id: 0n, exprKind }
}

function call(name: string, args: readonly Expr[]): Expr {
  return node({ case: 'callExpr', value: callOf(name, args) })
}

function callOf(name: string, args: readonly Expr[]): ExprOf<'callExpr'> {
  return { $typeName: 'cel.expr.Expr.Call', function: name, args: [...args] }
}

function bool(value: boolean): Expr {
  return constant({ case: 'boolValue', value })
}

function text(value: string): Expr {
  return constant({ case: 'stringValue', value })
}

function int(value: number): Expr {
  return constant({ case: 'int64Value', value: BigInt(value) })
}

function constant(constantKind: ExprOf<'constExpr'>['constantKind']): Expr {
  return node({ case: 'constExpr', value: { $typeName: 'cel.expr.Constant', constantKind } })
}
