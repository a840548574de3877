import { Counter, type Registry } from 'prom-client'

/** A counter for the path of every request: counting is one map look-up, and prom-client hears of it when scraped. */
export type Tally = {
  /** Values in the order of the label names. */
  inc(...labels: readonly (string | number)[]): void
}

export function createTally(
  { name, help, labelNames }: { name: string; help: string; labelNames: readonly string[] },
  registry: Registry,
): Tally {
  const pending = new Map<string, { labels: Record<string, string | number>; count: number }>()
  const counter = new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      for (const { labels, count } of pending.values()) counter.inc(labels, count)
      pending.clear()
    },
  })
  return {
    inc(...values) {
      const key = values.join('\n')
      const seen = pending.get(key)
      if (seen !== undefined) {
        seen.count += 1
        return
      }
      const labels = Object.fromEntries(labelNames.map((label, index) => [label, values[index] ?? '']))
      pending.set(key, { labels, count: 1 })
    },
  }
}
