import type { Registry } from 'prom-client'
import type { PoliciesInForce, PolicyTrouble } from '../policy-source/keeper.ts'
import { Counter, Gauge } from './prometheus.ts'

/** What of the policies in force is measured. */
export type PolicyState = {
  readonly inForce: PoliciesInForce
  readonly trouble: PolicyTrouble | undefined
  readonly readAt: Date | undefined
}

export type PolicyMetrics = {
  readonly reloads: Counter<'result'>
  /** Where the state comes from, once there is one. */
  watch(state: () => PolicyState): void
}

type Sample = { readonly labels?: Readonly<Record<string, string>>; readonly value: number }

type StateGauge = {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly sampleOf: (state: PolicyState) => Sample | undefined
}

/** Characters of a version or digest: `sha256:` and twelve digits. */
const SHOWN = 19

const GAUGES: readonly StateGauge[] = [
  {
    name: 'portcullis_policy_set_info',
    help: 'The policies in force, and the bundle that they come from; the value is 1.',
    labelNames: ['version', 'bundle'],
    sampleOf: ({ inForce: { set, origin } }) => ({
      labels: {
        version: set.version.slice(0, SHOWN),
        bundle: origin?.kind === 'bundle' ? origin.digest.slice(0, SHOWN) : '',
      },
      value: 1,
    }),
  },
  {
    name: 'portcullis_policy_loaded_timestamp_seconds',
    help: 'Since when the policies in force are.',
    labelNames: [],
    sampleOf: ({ inForce }) => ({ value: inForce.since.getTime() / 1000 }),
  },
  {
    name: 'portcullis_policy_read_timestamp_seconds',
    help: 'When the source of the policies was last read, good or bad.',
    labelNames: [],
    sampleOf: ({ readAt }) => (readAt === undefined ? undefined : { value: readAt.getTime() / 1000 }),
  },
  {
    name: 'portcullis_policy_trouble',
    help: '1 while the source of the policies has something else than what is in force, or cannot be read.',
    labelNames: [],
    sampleOf: ({ trouble }) => ({ value: Number(trouble !== undefined) }),
  },
  {
    name: 'portcullis_policy_bundle_serial',
    help: 'Serial of the policy bundle in force.',
    labelNames: [],
    sampleOf: ({ inForce: { origin } }) => (origin?.kind === 'bundle' ? { value: origin.serial } : undefined),
  },
  {
    name: 'portcullis_policy_bundle_expiry_timestamp_seconds',
    help: 'When the policy bundle in force expires, after which no proxy takes it that does not have it.',
    labelNames: [],
    sampleOf: ({ inForce: { origin } }) =>
      origin?.kind === 'bundle' && origin.expires !== undefined
        ? { value: origin.expires.getTime() / 1000 }
        : undefined,
  },
]

/** Which policies are in force, since when, and whether newer ones are refused. */
export function createPolicyMetrics(registry: Registry): PolicyMetrics {
  let read: () => PolicyState | undefined = () => undefined
  for (const { sampleOf, ...rest } of GAUGES) {
    const gauge = new Gauge({
      ...rest,
      registers: [registry],
      collect() {
        // What is gone must not stay at its last value.
        gauge.reset()
        const state = read()
        const sample = state === undefined ? undefined : sampleOf(state)
        if (sample !== undefined) gauge.set(sample.labels ?? {}, sample.value)
        // A gauge without labels is reset to 0, which would be a time or a serial like any other.
        else if (rest.labelNames.length === 0) gauge.remove()
      },
    })
  }
  return {
    reloads: new Counter({
      name: 'portcullis_policy_reloads_total',
      help: 'Policy sets that were put in force (loaded), were bad (refused), or could not be had (unavailable).',
      labelNames: ['result'] as const,
      registers: [registry],
    }),
    watch(state) {
      read = state
    },
  }
}
