import { LRUCache } from 'lru-cache'
import type { StateStore } from '../store/types.ts'
import type { Decision } from './decision.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** Ids of decisions that are known to be on disk, so that a repeat needs no write. */
const KNOWN_DECISIONS_MAX = 10_000

export type Recorder = {
  /** Tells of a decision, once for each time that an image is judged: what, why, by whom signed, how long it took. */
  announce(decision: Decision, timings: Readonly<Record<string, number>>): void
  /**
   * Makes a decision durable before it returns; a repeat is only counted. Throws where the disk refuses: an outcome
   * that cannot be recorded must not leave.
   */
  record(decision: Decision): void
  /** The same for what is served all the same: a disk that refuses it is reported and stops nobody. */
  note(decision: Decision): void
  /** Writes the counts of repeats. */
  flush(): void
}

export function createRecorder(deps: {
  state: Pick<StateStore, 'recordDecision' | 'countDecision'>
  log: Logger
  metrics: Pick<Metrics, 'decisionsRecorded'>
  now: () => Date
}): Recorder {
  const repeats = new LRUCache<string, { count: number }>({
    max: KNOWN_DECISIONS_MAX,
    dispose: (pending, key) => writeRepeats(key, pending),
  })

  function writeRepeats(key: string, pending: { count: number }): void {
    if (pending.count === 0) return
    try {
      deps.state.countDecision(key, pending.count, deps.now())
      pending.count = 0
    } catch (error) {
      // The decision itself is on disk; only how often it was repeated waits for the next flush.
      deps.log.error({ event: 'store', err: error }, 'cannot count repeated decisions')
    }
  }

  function record(decision: Decision): void {
    const { id, key } = decision
    const known = repeats.get(key)
    if (known !== undefined) {
      known.count += 1
      deps.metrics.decisionsRecorded.inc({ kind: 'repeat' })
      return
    }
    const isNew = deps.state.recordDecision({ id, key, at: deps.now(), json: key })
    repeats.set(key, { count: 0 })
    deps.metrics.decisionsRecorded.inc({ kind: isNew ? 'first' : 'repeat' })
  }

  return {
    announce({ id, subject, outcome, results }, timings) {
      const { registry, name } = subject.repository
      const event = {
        event: 'decision',
        id,
        image: `${registry}/${name}`,
        digest: subject.digest,
        outcome,
        results,
        timings,
      }
      const { policyVersion, trustVersion } = subject
      if (outcome === 'serve') deps.log.info({ ...event, policyVersion, trustVersion })
      else deps.log.warn({ ...event, policyVersion, trustVersion })
    },
    record,
    note(decision) {
      try {
        record(decision)
      } catch (error) {
        deps.log.error({ event: 'store', err: error, decision: decision.id }, 'cannot record a decision')
      }
    },
    flush() {
      for (const [key, pending] of repeats.entries()) writeRepeats(key, pending)
    },
  }
}
