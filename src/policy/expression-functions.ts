import {
  celEnv,
  celFunc,
  celList,
  celMethod,
  CelScalar,
  isCelError,
  isCelList,
  isCelMap,
  listType,
  type CelEnv,
  type CelFunc,
  type CelInput,
  type CelResult,
  type CelValue,
} from '@bufbuild/cel'
import type { RE2JS } from 're2js'
import type { Budget } from './expression-budget.ts'

/** What expressions can call: CEL's own functions as far as their cost can be told, and what `strict` puts in for fields. */

const { BOOL, DYN, INT, STRING } = CelScalar
const LIST = listType(DYN)

/** CEL's definitions of these; `&&`, `||`, `?:`, `[]` and the macros belong to the language itself. */
const OPERATORS = ['!_', '-_', '_+_', '_-_', '_*_', '_/_', '_%_'] as const
const RELATIONS = ['_==_', '_!=_', '_<_', '_<=_', '_>_', '_>=_', '@in'] as const
const TEXTS = ['contains', 'startsWith', 'endsWith', 'matches', 'size'] as const
const CONVERSIONS = ['bool', 'double', 'duration', 'int', 'string', 'timestamp', 'type', 'uint'] as const

/** The names that an expression may call; time zones are not among them, each look-up of one takes a millisecond. */
const NAMES: ReadonlySet<string> = new Set([...OPERATORS, ...RELATIONS, ...TEXTS, ...CONVERSIONS])

/** Names that no expression can have: the grammar has no `@`. */
export const STRICT = {
  get: '@get',
  has: '@has',
  items: '@items',
  list: '@list',
  append: '@append',
} as const

/** Characters that a primitive like `==` looks at in one step. */
const CHARACTERS_PER_STEP = 32
/** `size` of a text counts code points. */
const CODE_POINTS_PER_STEP = 8
/** A regular expression that backtracks nowhere still looks at each character once for each of its instructions. */
const INSTRUCTIONS_PER_STEP = 4
const MATCHED_CHARACTERS_MAX = 4096
/** Numbers, times and durations are short; BigInt takes time that grows with the square of the digits. */
const CONVERTED_CHARACTERS_MAX = 64
/** JavaScript also reads `0x10`, ` 1 ` and nothing at all as numbers. */
const NUMERAL = /^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/

const STANDARD: readonly CelFunc[] = [...celEnv().funcs].filter(({ name }) => NAMES.has(name))

/** What the static check knows of them. */
export function signatures(): ReadonlyMap<string, readonly CelFunc[]> {
  return Map.groupBy(STANDARD, ({ name }) => name)
}

/** `patterns`: each regular expression of the expression, compiled. */
export function meteredEnv(budget: Budget, patterns: ReadonlyMap<string, RE2JS>): CelEnv {
  return celEnv({
    funcs: [
      ...STANDARD.map((func) => metered(func, budget)),
      matchesFunc(budget, patterns),
      ...strictFuncs(budget),
    ],
  })
}

function metered(func: CelFunc, budget: Budget): CelFunc {
  const { name, target, arguments: types, result } = func
  if (target === undefined) {
    return celFunc(name, types, result, (...values: readonly CelValue[]) => {
      spendOn(name, values, budget)
      return valueOf(func.call(0, undefined, [...values]))
    })
  }
  return celMethod(name, target, types, result, function (...values: readonly CelValue[]) {
    spendOn(name, [this, ...values], budget)
    return valueOf(func.call(0, this, [...values]))
  })
}

function valueOf(result: CelResult | undefined): CelInput {
  if (result === undefined) throw new TypeError('has values that do not fit the function')
  if (isCelError(result)) throw result
  return result
}

function spendOn(name: string, values: readonly CelValue[], budget: Budget): void {
  const isConversion = CONVERSIONS.some((conversion) => conversion === name)
  if (isConversion && name !== 'type') values.forEach((value) => checkNumeral(name, value))
  if (name === 'contains') return spendOnSearch(values, budget)
  for (const value of values) {
    if (name === 'size' && typeof value === 'string') budget.spend(value.length / CODE_POINTS_PER_STEP)
    else spendOnValue(value, budget, isDeep(name, value))
  }
}

/** Lists and maps are looked through by comparisons; a map is asked for its keys. */
function isDeep(name: string, value: CelValue): boolean {
  return name === '_==_' || name === '_!=_' || (name === '@in' && !isCelMap(value))
}

function spendOnValue(value: CelValue, budget: Budget, inDepth: boolean): void {
  if (typeof value === 'string' || value instanceof Uint8Array) {
    budget.spend(value.length / CHARACTERS_PER_STEP)
  } else if (isCelList(value)) {
    budget.spend(value.size)
    if (inDepth) for (const entry of value) spendOnValue(entry, budget, true)
  } else if (isCelMap(value) && inDepth) {
    for (const entry of value.values()) spendOnValue(entry, budget, true)
  }
}

/** The naive bound: a hostile text makes every search method look at it again and again. */
function spendOnSearch(values: readonly CelValue[], budget: Budget): void {
  const steps = values.map((value) =>
    typeof value === 'string' ? 1 + value.length / CHARACTERS_PER_STEP : 1,
  )
  budget.spend(steps.reduce((product, step) => product * step, 1))
}

function checkNumeral(name: string, value: CelValue): void {
  if (typeof value !== 'string' || name === 'string' || name === 'bool') return
  const isNumber = name === 'int' || name === 'uint' || name === 'double'
  if (value.length <= CONVERTED_CHARACTERS_MAX && (!isNumber || NUMERAL.test(value))) return
  throw new RangeError(`has a text that is no ${name}`)
}

/** CEL's `matches` is true where any part of the text matches. RE2 by the library that all patterns of policies have. */
function matchesFunc(budget: Budget, patterns: ReadonlyMap<string, RE2JS>): CelFunc {
  return celMethod('matches', STRING, [STRING], BOOL, function (source) {
    const pattern = patterns.get(source)
    if (pattern === undefined) throw new RangeError('has a pattern that was not compiled')
    if (this.length > MATCHED_CHARACTERS_MAX) {
      throw new RangeError(`matches a text of more than ${MATCHED_CHARACTERS_MAX} characters`)
    }
    budget.spend((this.length * pattern.programSize()) / INSTRUCTIONS_PER_STEP)
    return pattern.test(this)
  })
}

function strictFuncs(budget: Budget): readonly CelFunc[] {
  /** The lists that `map` and `filter` are filling: one array each, or every entry would copy all before it. */
  const filling = new WeakMap<object, CelValue[]>()
  return [
    celFunc(STRICT.get, [DYN, DYN, STRING], DYN, (target, key, text) => {
      const value = entryOf(target, key)
      if (value === undefined) throw new RangeError(`${text} is missing`)
      return value
    }),
    celFunc(STRICT.has, [DYN, STRING], BOOL, (target, key) => isCelMap(target) && target.has(key)),
    celFunc(STRICT.items, [DYN, INT], DYN, (range, stepsEach) => {
      if (isCelList(range) || isCelMap(range)) budget.spend(range.size * Number(stepsEach))
      return range
    }),
    celFunc(STRICT.list, [], LIST, () => {
      const entries: CelValue[] = []
      const list = celList(entries)
      filling.set(list, entries)
      return list
    }),
    celFunc(STRICT.append, [LIST, DYN], LIST, (list, entry) => {
      filling.get(list)?.push(entry)
      return list
    }),
  ]
}

function entryOf(target: CelValue, key: CelValue): CelValue | undefined {
  if (isCelMap(target)) return isKey(key) ? target.get(key) : undefined
  if (!isCelList(target)) return undefined
  const index = typeof key === 'bigint' || typeof key === 'number' ? Number(key) : -1
  return Number.isInteger(index) ? target.get(index) : undefined
}

function isKey(key: CelValue): key is string | bigint | boolean | number {
  return ['string', 'bigint', 'boolean', 'number'].includes(typeof key)
}
