import type { Registry } from 'prom-client'
import { Counter, Gauge } from './prometheus.ts'

/** Dependencies that may be away: what the people on call look at first. */
export function createDependencyMetrics(registry: Registry): {
  readonly circuits: Gauge<'dependency' | 'group'>
  readonly lookUps: Counter<'log' | 'result'>
  readonly drill: Gauge<'dependency'>
} {
  const registers = [registry]
  return {
    circuits: new Gauge({
      name: 'portcullis_circuit_open',
      help: '1 while a dependency is left alone because it does not answer.',
      // Of several processes any one.
      aggregator: 'max',
      labelNames: ['dependency', 'group'] as const,
      registers,
    }),
    lookUps: new Counter({
      name: 'portcullis_log_lookups_total',
      help: 'Log entries looked up for signatures that carry none, by trust root and result.',
      labelNames: ['log', 'result'] as const,
      registers,
    }),
    drill: new Gauge({
      name: 'portcullis_drill',
      help: '1 while a drill takes the dependency away.',
      labelNames: ['dependency'] as const,
      registers,
    }),
  }
}
