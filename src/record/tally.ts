import type { Registry } from 'prom-client'
import { Counter } from './prometheus.ts'

/** A counter for the path of every request: counting is one map look-up, and prom-client hears of it when scraped. */
export type Tally = {
  /** Values in the order of the label names. */
  inc(...labels: readonly (string | number)[]): void
}

export function createTally(
  { name, help, labelNames }: { name: string; help: string; labelNames: readonly string[] },
  registry: Registry,
): Tally {
  // One map a label, so that counting makes no key of its own.
  const pending: Counts = new Map()
  const counter = new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      for (const { values, count } of countsIn(pending, [])) counter.inc(labelsOf(labelNames, values), count)
      pending.clear()
    },
  })
  return {
    inc(...values) {
      let counts = pending
      const last = values.length - 1
      for (let index = 0; index < last; index++) counts = below(counts, values[index] ?? '')
      const value = values[last] ?? ''
      const count = counts.get(value)
      counts.set(value, typeof count === 'number' ? count + 1 : 1)
    },
  }
}

/** By the value of each label in turn, at last how often. */
type Counts = Map<string | number, Counts | number>
type Values = readonly (string | number)[]

function below(counts: Counts, value: string | number): Counts {
  const known = counts.get(value)
  if (typeof known === 'object') return known
  const made: Counts = new Map()
  counts.set(value, made)
  return made
}

function countsIn(counts: Counts, above: Values): readonly { values: Values; count: number }[] {
  return [...counts].flatMap(([value, count]) =>
    typeof count === 'number' ? { values: [...above, value], count } : countsIn(count, [...above, value]),
  )
}

function labelsOf(names: readonly string[], values: Values): Record<string, string | number> {
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']))
}
