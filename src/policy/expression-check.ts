import type { CelFunc } from '@bufbuild/cel'
import { ACCUMULATOR, type Expr, type ExprOf } from './expression-strict.ts'
import {
  ANY,
  BOOL,
  comparable,
  fits,
  INT,
  list,
  map,
  ofCel,
  scalar,
  STRING,
  TYPE,
  TYPE_NAMES,
  typeText,
  type Type,
} from './expression-type.ts'
import { closest } from './suggestion.ts'

/** What is wrong with an expression, whatever statement it will be about. */

export type Scope = ReadonlyMap<string, Type>

export type CheckContext = {
  readonly functions: ReadonlyMap<string, readonly CelFunc[]>
  /** Takes a mistake and where it is; the check goes on. */
  readonly report: (expr: Expr, message: string) => void
}

/** Tells a mistake in the node at hand, whose type is then anybody's guess. */
type Fail = (message: string) => Type

/** The type of the expression; `any` where that depends on the statement, or where a mistake was told. */
export function checkExpression(expr: Expr, scope: Scope, context: CheckContext): Type {
  const { exprKind } = expr
  const fail: Fail = (message) => {
    context.report(expr, message)
    return ANY
  }
  switch (exprKind.case) {
    case 'constExpr':
      return constantType(exprKind.value)
    case 'identExpr':
      return nameType(exprKind.value.name, scope, fail)
    case 'selectExpr':
      return checkSelect(exprKind.value, scope, context, fail)
    case 'callExpr':
      return checkCall(exprKind.value, scope, context, fail)
    case 'listExpr':
      return list(joined(exprKind.value.elements.map((one) => checkExpression(one, scope, context))))
    case 'structExpr':
      return checkStruct(exprKind.value, scope, context, fail)
    case 'comprehensionExpr':
      return checkComprehension(exprKind.value, scope, context, fail)
    case undefined:
      return fail('nothing')
  }
}

const CONSTANTS: Readonly<Record<string, string>> = {
  boolValue: 'bool',
  bytesValue: 'bytes',
  doubleValue: 'double',
  int64Value: 'int',
  nullValue: 'null_type',
  stringValue: 'string',
  uint64Value: 'uint',
}

function constantType({ constantKind }: ExprOf<'constExpr'>): Type {
  const name = CONSTANTS[constantKind.case ?? '']
  return name === undefined ? ANY : scalar(name)
}

function nameType(name: string, scope: Scope, fail: Fail): Type {
  const type = scope.get(name)
  if (type !== undefined) return type
  if (TYPE_NAMES.has(name)) return TYPE
  const names = [...scope.keys()].filter((known) => known !== ACCUMULATOR)
  return fail(`unknown variable ${name}${hint(name, names)}`)
}

function checkSelect(
  { operand, field, testOnly }: ExprOf<'selectExpr'>,
  scope: Scope,
  context: CheckContext,
  fail: Fail,
): Type {
  const target = operand === undefined ? ANY : checkExpression(operand, scope, context)
  const type = fieldType(target, field, fail)
  return testOnly ? BOOL : type
}

function fieldType(target: Type, field: string, fail: Fail): Type {
  switch (target.kind) {
    case 'any':
      return ANY
    case 'map':
      return target.of
    case 'fields':
      return (
        target.fields.get(field) ?? fail(`unknown field ${field}${hint(field, [...target.fields.keys()])}`)
      )
    case 'list':
    case 'scalar':
      return fail(`field ${field} of ${typeText(target)}, which has none`)
  }
}

function checkCall(call: ExprOf<'callExpr'>, scope: Scope, context: CheckContext, fail: Fail): Type {
  const types = call.args.map((arg) => checkExpression(arg, scope, context))
  const target = call.target === undefined ? undefined : checkExpression(call.target, scope, context)
  switch (call.function) {
    case '_&&_':
    case '_||_':
      return truthType(types, operatorText(call.function), fail)
    case '@not_strictly_false':
      return BOOL
    case '_?_:_':
      return conditionalType(types, fail)
    case '_[_]':
      return indexType(types, call.args[1], fail)
    case '_==_':
    case '_!=_':
      return equalityType(types, operatorText(call.function), fail)
    case '@in':
      return membershipType(types, fail)
    default:
      return isAccumulation(call)
        ? ANY
        : functionType({ name: call.function, target, types }, context.functions, fail)
  }
}

/** `map`, `filter` and `exists_one` add to what they have. */
function isAccumulation({ function: name, args }: ExprOf<'callExpr'>): boolean {
  const kind = args[0]?.exprKind
  return name === '_+_' && kind?.case === 'identExpr' && kind.value.name === ACCUMULATOR
}

function truthType(types: readonly Type[], name: string, fail: Fail): Type {
  const odd = types.find((type) => !fits(type, BOOL))
  if (odd !== undefined) fail(`${name} of ${typeText(odd)}, expected bool`)
  return BOOL
}

function conditionalType([condition, then = ANY, otherwise = ANY]: readonly Type[], fail: Fail): Type {
  truthType(condition === undefined ? [] : [condition], '?:', fail)
  if (comparable(then, otherwise)) return joined([then, otherwise])
  return fail(`?: of ${typeText(then)} and ${typeText(otherwise)}`)
}

function indexType([target = ANY, index = ANY]: readonly Type[], key: Expr | undefined, fail: Fail): Type {
  switch (target.kind) {
    case 'any':
      return ANY
    case 'scalar':
      return fail(`[] of ${typeText(target)}`)
    case 'list':
      return fits(index, INT) ? target.of : fail(`[] of a list with ${typeText(index)}, expected int`)
    case 'map':
    case 'fields':
      return keyType(target, index, key, fail)
  }
}

function keyType(
  target: Extract<Type, { kind: 'map' | 'fields' }>,
  index: Type,
  key: Expr | undefined,
  fail: Fail,
): Type {
  if (!fits(index, STRING)) return fail(`[] of a map with ${typeText(index)}, expected string`)
  const constant = key?.exprKind.case === 'constExpr' ? key.exprKind.value.constantKind : undefined
  if (constant?.case === 'stringValue') return fieldType(target, constant.value, fail)
  return target.kind === 'map' ? target.of : joined([...target.fields.values()])
}

function equalityType([left = ANY, right = ANY]: readonly Type[], name: string, fail: Fail): Type {
  if (!comparable(left, right)) {
    fail(`${name} of ${typeText(left)} and ${typeText(right)}, which are never equal`)
  }
  return BOOL
}

function membershipType([one = ANY, range = ANY]: readonly Type[], fail: Fail): Type {
  if (range.kind === 'scalar') fail(`in ${typeText(range)}, expected a list or a map`)
  const entry = entryType(range)
  if (!comparable(one, entry)) {
    fail(`${typeText(one)} in ${typeText(range)} of ${typeText(entry)}, which is never true`)
  }
  return BOOL
}

/** What `in` and the macros meet in it: the entries of a list, the keys of a map. */
function entryType(range: Type): Type {
  if (range.kind === 'list') return range.of
  return range.kind === 'map' || range.kind === 'fields' ? STRING : ANY
}

type Call = { readonly name: string; readonly target: Type | undefined; readonly types: readonly Type[] }

/** By the definitions that the library itself goes by. */
function functionType(call: Call, functions: CheckContext['functions'], fail: Fail): Type {
  const { name, target, types } = call
  const named = functions.get(name)
  if (named === undefined) return fail(unknownFunction(name, [...functions.keys()]))
  const fitting = named.filter((func) => isCallable(func, call))
  if (fitting.length > 0) return joined(fitting.map(({ result }) => ofCel(result)))
  const on = target === undefined ? '' : `${typeText(target)}.`
  return fail(`${on}${operatorText(name)}(${types.map(typeText).join(', ')}), which there is not`)
}

function isCallable(func: CelFunc, { target, types }: Call): boolean {
  if (func.target === undefined || target === undefined) {
    if (func.target !== undefined || target !== undefined) return false
  } else if (!fits(target, ofCel(func.target))) return false
  const expected = func.arguments.map(ofCel)
  return expected.length === types.length && expected.every((type, index) => fits(types[index] ?? ANY, type))
}

const MACROS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'existsOne', 'filter', 'map'])

function unknownFunction(name: string, names: readonly string[]): string {
  if (name === 'has') return 'has() without a field, expected has(statement.predicate.builder) or the like'
  if (MACROS.has(name)) return `${name}() without a variable, expected list.${name}(x, …)`
  const words = names.filter((known) => /^[a-z]/i.test(known))
  return `unknown function ${name}${hint(name, words)}`
}

function checkStruct(
  { messageName, entries }: ExprOf<'structExpr'>,
  scope: Scope,
  context: CheckContext,
  fail: Fail,
): Type {
  if (messageName !== '') return fail(`unknown type ${messageName}`)
  const values = entries.map(({ keyKind, value }) => {
    const key = keyKind.case === 'mapKey' ? checkExpression(keyKind.value, scope, context) : ANY
    if (!fits(key, STRING)) fail(`a map with a key of type ${typeText(key)}, expected string`)
    return value === undefined ? ANY : checkExpression(value, scope, context)
  })
  return map(joined(values))
}

function checkComprehension(
  { iterVar, iterRange, accuInit, loopStep, result }: ExprOf<'comprehensionExpr'>,
  scope: Scope,
  context: CheckContext,
  fail: Fail,
): Type {
  if (iterRange === undefined || accuInit === undefined || loopStep === undefined || result === undefined) {
    return fail('half a macro')
  }
  const range = checkExpression(iterRange, scope, context)
  if (range.kind === 'scalar') fail(`going through ${typeText(range)}, expected a list or a map`)
  // One name for two things is legal, and misread.
  if (scope.has(iterVar)) fail(`a variable ${iterVar} where there is one already`)
  const accumulated = checkExpression(accuInit, scope, context)
  const inner = new Map([...scope, [iterVar, entryType(range)], [ACCUMULATOR, accumulated]])
  checkExpression(loopStep, inner, context)
  return checkExpression(result, inner, context)
}

/** One type where all are of it. */
function joined(types: readonly Type[]): Type {
  const [first = ANY, ...others] = types
  return others.every((type) => fits(type, first) && type.kind === first.kind) ? first : ANY
}

function hint(word: string, known: readonly string[]): string {
  const near = closest(word, known)
  return near === undefined ? `, expected one of ${known.join(', ')}` : `, did you mean ${near}?`
}

/** `_+_` is `+`, `!_` is `!`. */
function operatorText(name: string): string {
  return /^[a-z]/i.test(name) ? name : name.replaceAll('_', '')
}
