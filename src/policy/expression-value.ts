import { celList, celMap, type CelInput } from '@bufbuild/cel'
import type { Budget } from './expression-budget.ts'
import { isRecord } from './problem.ts'

/** An entry is read into a value of its own. */
const STEPS_PER_ENTRY = 4

/**
 * Turns JSON into values of CEL, each object and list when it is read, so that a large statement costs what is read of it.
 * The evaluator would also take plain objects, but asks them for `constructor` and `$typeName`, which in a statement are
 * keys like any other: it gets maps that know own keys only. Numbers are doubles, as CEL says of JSON; one that JavaScript
 * has rounded is refused, because it equals others than the signer wrote.
 */
export function valueReader(budget: Budget): (json: unknown) => CelInput {
  const known = new WeakMap<object, CelInput>()
  const read = (json: unknown): CelInput => {
    if (json === null || typeof json === 'string' || typeof json === 'boolean') return json
    if (typeof json === 'number') return exact(json)
    if (typeof json !== 'object') throw new TypeError('holds what is not JSON')
    const before = known.get(json)
    if (before !== undefined) return before
    const value = Array.isArray(json) ? readList(json, read, budget) : readObject(json, read, budget)
    known.set(json, value)
    return value
  }
  return read
}

function exact(number: number): number {
  if (Number.isSafeInteger(number) || (Number.isFinite(number) && !Number.isInteger(number))) return number
  throw new RangeError('holds a number that is too large to be exact')
}

function readObject(json: object, read: (json: unknown) => CelInput, budget: Budget): CelInput {
  return celMap(new JsonMap(isRecord(json) ? json : {}, read, budget))
}

function readList(list: readonly unknown[], read: (json: unknown) => CelInput, budget: Budget): CelInput {
  budget.spend(list.length * STEPS_PER_ENTRY)
  return celList(list.map(read))
}

/** Own keys of a JSON object; values are read when they are asked for, all of them only for a comparison. */
class JsonMap implements ReadonlyMap<string, CelInput> {
  readonly #record: Readonly<Record<string, unknown>>
  readonly #read: (json: unknown) => CelInput
  readonly #budget: Budget
  #names: readonly string[] | undefined

  constructor(record: Readonly<Record<string, unknown>>, read: (json: unknown) => CelInput, budget: Budget) {
    this.#record = record
    this.#read = read
    this.#budget = budget
  }

  get(key: string): CelInput | undefined {
    return this.has(key) ? this.#read(this.#record[key]) : undefined
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#record, key)
  }

  get size(): number {
    return this.#keys().length
  }

  keys(): MapIterator<string> {
    return this.#keys().values()
  }

  values(): MapIterator<CelInput> {
    return this.#whole().values()
  }

  entries(): MapIterator<[string, CelInput]> {
    return this.#whole().entries()
  }

  [Symbol.iterator](): MapIterator<[string, CelInput]> {
    return this.entries()
  }

  forEach(callback: (value: CelInput, key: string, map: ReadonlyMap<string, CelInput>) => void): void {
    for (const [key, value] of this.#whole()) callback(value, key, this)
  }

  /** There is no way to count keys first: a statement with as many of them took longer to parse. */
  #keys(): readonly string[] {
    if (this.#names !== undefined) return this.#names
    this.#names = Object.keys(this.#record)
    this.#budget.spend(this.#names.length)
    return this.#names
  }

  #whole(): ReadonlyMap<string, CelInput> {
    const names = this.#keys()
    this.#budget.spend(names.length * STEPS_PER_ENTRY)
    return new Map(names.map((name) => [name, this.#read(this.#record[name])]))
  }
}
