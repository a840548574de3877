import { createPullLatency } from './latency.ts'
import { Counter, Gauge, Histogram, Registry } from './prometheus.ts'
import { createTally } from './tally.ts'

/** Seconds. Warm answers are well under a millisecond, cold ones are a few upstream round trips. */
const DURATION_BUCKETS = [
  0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

/** Every metric there is. Labels come from closed sets: configured registries and rings, routes, codes; never names from outside. */
export type Metrics = {
  readonly registry: Registry
} & ReturnType<typeof pullMetrics> &
  ReturnType<typeof verdictMetrics> &
  ReturnType<typeof admissionMetrics> &
  ReturnType<typeof transferMetrics>

/** `now` is asked when figures are read: without one, what is told of the last minutes is told of all time. */
export function createMetrics(now: () => Date = () => new Date(0)): Metrics {
  const registry = new Registry()
  return {
    registry,
    ...pullMetrics(registry, now),
    ...verdictMetrics(registry),
    ...admissionMetrics(registry),
    ...transferMetrics(registry),
  }
}

/** The way of a pull. */
function pullMetrics(registry: Registry, now: () => Date) {
  const registers = [registry]
  return {
    httpRequests: createTally(
      {
        name: 'portcullis_http_requests_total',
        help: 'Requests on the data listener by route and status code.',
        labelNames: ['route', 'method', 'status'],
      },
      registry,
    ),
    pulls: createTally(
      {
        name: 'portcullis_pulls_total',
        help: 'Manifest requests by outcome; would_refuse and would_hold are served in observe mode, admitted by a stance.',
        labelNames: ['registry', 'outcome', 'cache', 'ring'],
      },
      registry,
    ),
    pullsNotCounted: new Counter({
      name: 'portcullis_pulls_not_counted_total',
      help: 'Pulls that are missing in the rollout report: the disk refused them, or too many different images were pulled at once.',
      registers,
    }),
    pullLatency: createPullLatency(registry, { bounds: DURATION_BUCKETS, now }),
    stepDuration: new Histogram({
      name: 'portcullis_step_duration_seconds',
      help: 'Time of each step of a cold pull; `total` is all of it.',
      labelNames: ['step'] as const,
      buckets: DURATION_BUCKETS,
      registers,
    }),
  }
}

/** What was decided, and why. */
function verdictMetrics(registry: Registry) {
  const registers = [registry]
  return {
    reasons: new Counter({
      name: 'portcullis_violations_total',
      help: 'Manifest requests that violate a policy, by reason and the mode of that policy.',
      labelNames: ['reason', 'mode'] as const,
      registers,
    }),
    causes: new Counter({
      name: 'portcullis_undetermined_total',
      help: 'Manifest requests that could not be judged, by the dependency that was missing.',
      labelNames: ['dependency', 'mode'] as const,
      registers,
    }),
    evidenceFailures: new Counter({
      name: 'portcullis_evidence_failures_total',
      help: 'Candidates that proved nothing, by the kind of failure.',
      labelNames: ['code'] as const,
      registers,
    }),
    decisionsRecorded: new Counter({
      name: 'portcullis_decisions_recorded_total',
      help: 'Decisions written durably (first of their kind) or counted (repeats).',
      labelNames: ['kind'] as const,
      registers,
    }),
    policies: new Gauge({
      name: 'portcullis_policies',
      help: 'Loaded policies by mode.',
      labelNames: ['mode'] as const,
      registers,
    }),
  }
}

/** A counter that is there from the start, for alerts: what appears with its first 1 has never increased. */
function counted<Label extends string>(
  values: readonly string[],
  label: Label,
  about: { readonly name: string; readonly help: string; readonly registers: Registry[] },
): Counter<Label> {
  const counter = new Counter({ ...about, labelNames: [label] })
  for (const value of values) counter.labels(value).inc(0)
  return counter
}

/** What was served though nobody could judge it, and what will stop to be satisfied. */
function admissionMetrics(registry: Registry) {
  const registers = [registry]
  return {
    admitted: counted(['open', 'last-verified'], 'stance', {
      name: 'portcullis_admitted_total',
      help: 'Manifest requests served unjudged, by the laxest stance that let them pass.',
      registers,
    }),
    openAdmissions: new Gauge({
      name: 'portcullis_open_admissions',
      help: 'Images that stance open let pass and that wait to be judged.',
      // Of several processes the keeper knows.
      aggregator: 'first',
      registers,
    }),
    admissionsHeld: new Counter({
      name: 'portcullis_admissions_held_total',
      help: 'Manifest requests that stance open would let pass and that were held: budget spent, or refused before.',
      labelNames: ['why'] as const,
      registers,
    }),
    admissionsJudged: counted(['satisfied', 'violated'], 'verdict', {
      name: 'portcullis_admissions_judged_total',
      help: 'Images that stance open had let pass, by what they turned out to be.',
      registers,
    }),
    retiring: new Counter({
      name: 'portcullis_retiring_total',
      help: 'Images judged that are satisfied only by a trust root or key that is being retired.',
      labelNames: ['kind'] as const,
      registers,
    }),
  }
}

/** Bytes in and out. */
function transferMetrics(registry: Registry) {
  const registers = [registry]
  return {
    upstreamRequests: new Counter({
      name: 'portcullis_upstream_requests_total',
      help: 'Requests sent to upstream registries by result.',
      labelNames: ['registry', 'operation', 'result'] as const,
      registers,
    }),
    blobs: new Counter({
      name: 'portcullis_blob_requests_total',
      help: 'Blob requests by how they were answered.',
      labelNames: ['registry', 'result'] as const,
      registers,
    }),
    blobReads: new Counter({
      name: 'portcullis_blob_reads_total',
      help: 'Where blob bytes came from, and what went wrong on the way.',
      labelNames: ['kind'] as const,
      registers,
    }),
    storeFaults: counted(['damaged', 'newer-schema', 'full', 'unavailable', 'in-use'], 'operation', {
      name: 'portcullis_store_faults_total',
      help: 'Local disk faults that were survived by not caching.',
      registers,
    }),
  }
}
