import type { Config } from './config/schema.ts'
import { DRILL_DEPENDENCIES, isTakenAway, type DrillEvent } from './drill.ts'
import type { PolicyEvent } from './policy-source/keeper.ts'
import { createDependencyMetrics } from './record/dependency-metrics.ts'
import { createLogs, type Logger } from './record/log.ts'
import { LogOutput } from './record/log-output.ts'
import type { RequestLog } from './record/request-log.ts'
import { observePolicies } from './record/observe-policies.ts'
import { createPolicyMetrics, type PolicyMetrics } from './record/policy-metrics.ts'
import { createMetrics, type Metrics } from './record/metrics.ts'
import { Counter } from './record/prometheus.ts'
import { standardOutput } from './record/standard-output.ts'
import { createTrustMetrics, type TrustMetrics } from './record/trust-metrics.ts'
import type { LookUpEvent } from './trust/rekor/look-up.ts'
import type { KeeperEvent } from './trust/keeper.ts'
import type { KmsKeyEvent } from './trust/kms/kms-keys.ts'
import type { TrustListener } from './trust/open.ts'
import type { CircuitEvent } from './upstream/circuits.ts'

/** Log and metrics, and what each part of the program has to tell them. */
export type Watch = {
  readonly log: Logger
  /** For the one line of each request. */
  readonly requests: RequestLog
  readonly metrics: Metrics
  readonly trust: TrustMetrics
  readonly trustListener: TrustListener
  readonly policies: PolicyMetrics
  onPolicies(event: PolicyEvent): void
  onCircuit(dependency: string, event: Omit<CircuitEvent, 'group'> & { group: string }): void
  onLookUp(event: LookUpEvent): void
  onDrill(event: DrillEvent): void
  /** Of an error that nobody expected. */
  onError(error: unknown): void
  /** Whole lines of a log that another process wrote. */
  writeLines(lines: string): void
  /** Resolves when all that was told is written. For the end. */
  flush(): Promise<void>
}

export function createWatch(config: Pick<Config, 'log'>, now: () => Date): Watch {
  const metrics = createMetrics(now)
  const dropped = droppedLines(metrics)
  const output = new LogOutput({
    file: standardOutput(),
    later: (call, ms) => void setTimeout(call, ms).unref(),
    onDropped: (lines) => dropped.inc(lines),
  })
  // What broke the program down is among the last that it has said.
  const onExit = (): void => output.closeSync()
  process.once('exit', onExit)
  const logs = createLogs(config.log.level, output, now)
  const { log } = logs
  const trust = createTrustMetrics(metrics.registry)
  const dependencies = createDependencyMetrics(metrics.registry)
  const policies = createPolicyMetrics(metrics.registry)
  return {
    ...logs,
    metrics,
    trust,
    trustListener: {
      onKeeper: (event) => tellKeeper(event, log, trust),
      onMirror: ({ kind, mirror, message }) => log.warn({ event: 'trust', kind, source: mirror }, message),
      onKey: (event) => tellKey(event, log),
    },
    policies,
    onPolicies: observePolicies(log, policies),
    onCircuit(dependency, { group, host, state, outage }) {
      dependencies.circuits.set({ dependency, group }, Number(state === 'open'))
      const told = { event: 'circuit', dependency, group, host, state, since: new Date(outage.sinceMs) }
      if (state === 'open') log.error({ ...told, why: outage.why }, `${host} does not answer`)
      else log.info(told, `${host} answers again`)
    },
    onLookUp: ({ log: name, result }) => dependencies.lookUps.inc({ log: name, result }),
    onDrill({ kind, drill }) {
      for (const dependency of DRILL_DEPENDENCIES) {
        const isAway = kind === 'started' && isTakenAway(dependency, drill)
        dependencies.drill.set({ dependency }, Number(isAway))
      }
      log.warn({ event: 'drill', kind, ...drill }, `drill ${kind}`)
    },
    onError: (error) => log.error({ event: 'error', err: error }, 'unexpected error'),
    writeLines: (lines) => output.write(lines),
    async flush() {
      await output.close()
      process.off('exit', onExit)
    },
  }
}

function droppedLines({ registry }: Metrics): Counter {
  return new Counter({
    name: 'portcullis_log_lines_dropped_total',
    help: 'Lines that nobody read in time from standard output.',
    registers: [registry],
  })
}

/** One line for each thing that changes, at the level at which somebody should look at it. */
function tellKeeper(event: KeeperEvent, log: Logger, metrics: TrustMetrics): void {
  switch (event.kind) {
    case 'changed': {
      const { version, roots, unusable } = event.snapshot
      const told = { event: 'trust', version, roots: [...roots.keys()], unusable: [...unusable.keys()] }
      return log.info(told, 'what is trusted has changed; verdicts are reached anew')
    }
    case 'renewed':
      metrics.renewals.inc({ source: event.source, result: 'renewed' })
      return log.debug({ event: 'trust', source: event.source }, 'renewed')
    case 'failed':
      metrics.renewals.inc({ source: event.source, result: 'failed' })
      return log.warn({ event: 'trust', source: event.source }, event.message)
    case 'state': {
      const { source, state, message } = event
      if (state === 'fresh') return log.info({ event: 'trust', source, state }, message)
      return log.error({ event: 'trust', source, state }, message)
    }
    case 'ending': {
      const { source, item, until } = event
      const text = `${item.what} ${item.name} is retired at ${until.toISOString()}`
      return log.warn({ event: 'trust', source, what: item.what, name: item.name, until }, text)
    }
  }
}

function tellKey(event: KmsKeyEvent, log: Logger): void {
  const told = { event: 'kms', kind: event.kind, reference: event.reference }
  switch (event.kind) {
    case 'obtained':
    case 'returned':
      return log.info({ ...told, key: event.key.keyId }, `key ${event.kind}`)
    case 'moved': {
      const { from, to, until } = event
      return log.warn(
        { ...told, from: from.keyId, to: to.keyId, until },
        'the reference stands for another key',
      )
    }
    case 'retired':
      return log.warn({ ...told, key: event.key.keyId }, 'key retired: it is not trusted any more')
    case 'gone':
      return log.error({ ...told, key: event.key.keyId, until: event.until }, event.message)
    case 'failed':
    case 'damaged':
    case 'disk':
      return log.warn(told, event.message)
    case 'expired':
      return log.error(told, event.message)
  }
}
