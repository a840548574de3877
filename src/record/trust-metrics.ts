import type { Registry } from 'prom-client'
import type { SourceStatus } from '../trust/source.ts'
import { Counter, Gauge } from './prometheus.ts'

export type TrustMetrics = ReturnType<typeof createTrustMetrics>

type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number }

/** A figure of each source, as it is when it is scraped. */
type SourceGauge = {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly samplesOf: (status: SourceStatus) => readonly Sample[]
}

const GAUGES: readonly SourceGauge[] = [
  {
    name: 'portcullis_trust_root_info',
    help: 'Trust roots that count now; the value is 1.',
    labelNames: ['version'],
    samplesOf: ({ documents }) =>
      documents.map(({ version }) => ({ labels: { version: version.slice(0, 19) }, value: 1 })),
  },
  {
    name: 'portcullis_trust_state',
    help: 'State of each trust source; 1 for the one it is in.',
    labelNames: ['state'],
    samplesOf: ({ state }) =>
      (['fresh', 'stale', 'unusable'] as const).map((one) => ({
        labels: { state: one },
        value: Number(one === state),
      })),
  },
  {
    name: 'portcullis_trust_renewed_timestamp_seconds',
    help: 'When each trust source was last confirmed by its origin.',
    labelNames: [],
    samplesOf: ({ renewedAt }) =>
      renewedAt === undefined ? [] : [{ labels: {}, value: renewedAt.getTime() / 1000 }],
  },
  {
    name: 'portcullis_trust_role_expiry_timestamp_seconds',
    help: 'When the TUF metadata of each role expires for clients.',
    labelNames: ['role'],
    samplesOf: ({ roles }) =>
      roles.map(({ role, expires }) => ({ labels: { role }, value: expires.getTime() / 1000 })),
  },
  {
    name: 'portcullis_trust_retiring_end_timestamp_seconds',
    help: 'When the next root or key that is being retired ends.',
    labelNames: [],
    samplesOf({ held }) {
      const ends = held.flatMap(({ until, isRetiring }) =>
        isRetiring && until !== undefined ? [until.getTime() / 1000] : [],
      )
      return ends.length === 0 ? [] : [{ labels: {}, value: Math.min(...ends) }]
    },
  },
]

/** What is trusted and for how long. */
export function createTrustMetrics(registry: Registry): {
  readonly renewals: Counter<'source' | 'result'>
  /** Where the status comes from, once there is one. */
  watch(status: () => readonly SourceStatus[]): void
} {
  let read: () => readonly SourceStatus[] = () => []
  for (const { samplesOf, labelNames, ...rest } of GAUGES) {
    const gauge = new Gauge({
      ...rest,
      labelNames: ['source', ...labelNames],
      registers: [registry],
      collect() {
        // What is gone must not stay at its last value.
        gauge.reset()
        for (const status of read()) {
          for (const { labels, value } of samplesOf(status))
            gauge.set({ source: status.name, ...labels }, value)
        }
      },
    })
  }
  return {
    renewals: new Counter({
      name: 'portcullis_trust_renewals_total',
      help: 'Attempts to renew a trust source by result.',
      labelNames: ['source', 'result'] as const,
      registers: [registry],
    }),
    watch(status) {
      read = status
    },
  }
}
