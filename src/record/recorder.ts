import { createLru } from '../lru.ts'
import { repositoryName } from '../oci/reference.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { StateStore } from '../store/types.ts'
import { decisionKey, type Decision } from './decision.ts'
import { timedNow } from '../timings.ts'
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
  /** Tells that what would have been served is held, because the disk refuses to record it. */
  unrecorded(decision: Decision, error: unknown): void
  /** Writes the counts of repeats. */
  flush(): void
}

/** An outage must not let in what was refused before it. */
function refusedBy({ outcome, subject }: Decision): { repository: Repository; digest: Digest } | undefined {
  const { repository, digest } = subject
  return outcome === 'refuse' && digest !== undefined ? { repository, digest } : undefined
}

export function createRecorder(deps: {
  state: Pick<StateStore, 'recordDecision' | 'countDecision'>
  log: Logger
  metrics: Pick<Metrics, 'decisionsRecorded' | 'stepDuration'>
  now: () => Date
  /** Milliseconds, monotonic. */
  elapsed: () => number
}): Recorder {
  const repeats = createLru<string, { count: number }>(KNOWN_DECISIONS_MAX, {
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
    const { id } = decision
    const key = decisionKey(decision)
    const known = repeats.get(key)
    if (known !== undefined) {
      known.count += 1
      deps.metrics.decisionsRecorded.inc({ kind: 'repeat' })
      return
    }
    const row = { id, key, at: deps.now(), json: key, refused: refusedBy(decision) }
    const isNew = timedNow('record', deps, () => deps.state.recordDecision(row))
    repeats.set(key, { count: 0 })
    deps.metrics.decisionsRecorded.inc({ kind: isNew ? 'first' : 'repeat' })
  }

  return {
    announce: (decision, timings) => announce(deps.log, decision, timings),
    record,
    note(decision) {
      try {
        record(decision)
      } catch (error) {
        deps.log.error({ event: 'store', err: error, decision: decision.id }, 'cannot record a decision')
      }
    },
    unrecorded(decision, error) {
      // It may have been written in a transaction that came to nothing.
      repeats.delete(decisionKey(decision))
      const message = 'held, because the admission cannot be recorded'
      deps.log.error({ event: 'store', err: error, decision: decision.id }, message)
    },
    flush() {
      for (const [key, pending] of repeats.entries()) writeRepeats(key, pending)
    },
  }
}

function announce(
  log: Logger,
  { id, subject, outcome, results, admitted }: Decision,
  timings: Readonly<Record<string, number>>,
): void {
  const { repository, digest, ring, policyVersion, policySource, trustVersion } = subject
  const event = {
    event: 'decision',
    id,
    image: repositoryName(repository),
    digest,
    ring,
    outcome,
    results,
    ...(admitted.length === 0 ? {} : { admitted }),
    timings,
    policyVersion,
    policySource,
    trustVersion,
  }
  if (outcome === 'serve') log.info(event)
  else log.warn(event)
}
