import { LRUCache } from 'lru-cache'
import type { StateStore } from '../store/types.ts'
import type { Decision } from './decision.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** Ids of decisions that are known to be on disk, so that a repeat needs no write. */
const KNOWN_DECISIONS_MAX = 10_000

export type Recorder = {
  /**
   * Makes a decision durable before it returns; a repeat is only counted. Throws where the disk refuses: an outcome
   * that cannot be recorded must not leave.
   */
  record(decision: Decision): void
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
    deps.state.countDecision(key, pending.count, deps.now())
    pending.count = 0
  }

  return {
    record(decision) {
      const known = repeats.get(decision.key)
      if (known !== undefined) {
        known.count += 1
        deps.metrics.decisionsRecorded.inc({ kind: 'repeat' })
        return
      }
      const { id, key } = decision
      const isNew = deps.state.recordDecision({ id, key, at: deps.now(), json: key })
      repeats.set(key, { count: 0 })
      deps.metrics.decisionsRecorded.inc({ kind: isNew ? 'first' : 'repeat' })
      if (isNew) deps.log.warn({ event: 'decision', id, ...decision.subject, outcome: decision.outcome, results: decision.results }, 'decision')
    },
    flush() {
      for (const [key, pending] of repeats.entries()) writeRepeats(key, pending)
    },
  }
}
