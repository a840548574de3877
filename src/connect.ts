import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Breaker } from './breaker.ts'
import type { Config } from './config/schema.ts'
import { createConnections } from './connections.ts'
import type { Drills } from './drill.ts'
import { createCheckpoints, leaveCheckpoints, type Checkpoints } from './store/checkpoints.ts'
import type { Later } from './store/cached-facts.ts'
import { openContentStore, type DirectoryContentStore } from './store/content.ts'
import { openDatabase, type Sharing } from './store/database.ts'
import type { StoreError } from './store/error.ts'
import { lockDirectory } from './store/lock.ts'
import { createSharedState, type SharedState } from './store/shared-state.ts'
import { createStateStore } from './store/state.ts'
import { shareTotals } from './store/total.ts'
import type { StateStore } from './store/types.ts'
import { createRekorClient, type RekorClient } from './trust/rekor/client.ts'
import { LogLookUp } from './trust/rekor/look-up.ts'
import { createLogSend, type LogAnswer, type SendToLog } from './trust/rekor/send.ts'
import { createUpstreams } from './upstream/upstreams.ts'
import { VERSION } from './version.ts'
import type { Watch } from './watch.ts'
import { credentialSource } from './wiring.ts'
import { createTurns } from './work/turns.ts'

/** What the program holds on to outside of itself: the data directory, registries, logs. */

export type Store = {
  state: StateStore
  content: DirectoryContentStore
  /** Undefined: no other process has the store. */
  shared: SharedState | undefined
  /** Undefined in a guest: the first process does them. */
  checkpoints: Checkpoints | undefined
  unlock: () => void
}

/** `guest`: what a guest is called; the first process has the lock of the directory for all of them. */
export type StoreSharing =
  | { readonly sharing: Exclude<Sharing, 'guest'> }
  | { readonly sharing: 'guest'; readonly guest: string }

/** Milliseconds: what nobody waits for is written with what the next cold pull waits for, where there is one. */
const EVENTUALLY_MS = 20

const LATER: Later = {
  soon: (work) => void setImmediate(work),
  eventually: (work) => void setTimeout(work, EVENTUALLY_MS).unref(),
}

/** Throws StoreError where the data directory cannot be used. */
export async function openStore(
  config: Pick<Config, 'cache' | 'dataDirectory'>,
  { log, metrics }: Pick<Watch, 'log' | 'metrics'>,
  now: () => Date,
  as: StoreSharing = { sharing: 'alone' },
): Promise<Store> {
  const onError = (error: StoreError): void => {
    metrics.storeFaults.inc({ operation: error.code })
    log.error({ event: 'store', err: error }, error.message)
  }
  const isGuest = as.sharing === 'guest'
  const unlock = isGuest ? () => undefined : lockDirectory(config.dataDirectory)
  try {
    const database = openDatabase(join(config.dataDirectory, 'portcullis.db'), as.sharing)
    if (!isGuest) shareTotals(database, as.sharing === 'first')
    const { contentBytesMax: bytesMax, evidenceBytesMax } = config.cache
    const state = createStateStore(database, {
      now,
      onError,
      evidenceBytesMax,
      isChecked: isGuest,
      later: LATER,
    })
    const directory = join(config.dataDirectory, 'content')
    const guest = isGuest ? as.guest : undefined
    const content = await openContentStore({
      directory,
      guest,
      isShared: as.sharing !== 'alone',
      bytesMax,
      database,
      now,
      onError,
    })
    const flush = (): void => state.flush()
    const shared = as.sharing === 'alone' ? undefined : createSharedState(database, { onError, flush })
    if (isGuest) leaveCheckpoints(database)
    const checkpoints = isGuest ? undefined : createCheckpoints(database, { onError })
    return { state, content, shared, checkpoints, unlock }
  } catch (error) {
    unlock()
    throw error
  }
}

export function connectUpstreams(
  config: Config,
  watch: Watch,
  drills: Drills,
): ReturnType<typeof createUpstreams> {
  const credentials = credentialSource(config)
  const turn = createTurns()
  return createUpstreams([...config.upstreams.values()], (registry) => ({
    credentials,
    now: Date.now,
    random: Math.random,
    sleep: async (ms, signal) => {
      await sleep(ms, undefined, { signal })
    },
    turn,
    takenAway: () => drills.reason('registry'),
    onCircuit: (event) => watch.onCircuit(registry, event),
    onRequest: ({ kind, result }) =>
      watch.metrics.upstreamRequests.inc({ registry, operation: kind, result }),
  }))
}

/** One look-up, with every request that it takes; and no more than half of what a pull may take. */
const LOOK_UP_LIMIT_MS = 10_000
const LOG_CONNECT_TIMEOUT_MS = 3_000
const LOG_ANSWER_TIMEOUT_MS = 5_000

/** The logs in which entries are looked up: those that a trust root names. Undefined where none does. */
export function connectLogs(
  { trust, deadlines }: Pick<Config, 'trust' | 'deadlines'>,
  watch: Watch,
  { drills, state }: { drills: Drills; state: Pick<StateStore, 'getLogEntry'> },
): { lookUp: LogLookUp | undefined; close(): Promise<void> } {
  const agent = createConnections({
    connect: { timeout: LOG_CONNECT_TIMEOUT_MS },
    headersTimeout: LOG_ANSWER_TIMEOUT_MS,
    bodyTimeout: LOG_ANSWER_TIMEOUT_MS,
  })
  // A log that hangs is the cause that policy hears of, and not that the pull ran out of time.
  const limitMs = Math.min(LOOK_UP_LIMIT_MS, deadlines.pullMs / 2)
  const send = createLogSend(agent, `portcullis/${VERSION}`)
  const logs = [...trust.roots].flatMap(([name, root]): [string, RekorClient][] => {
    const rekor = 'rekor' in root ? root.rekor : undefined
    if (rekor === undefined) return []
    return [[name, createRekorClient({ ...rekor, send: guarded(name, send, watch, drills) })]]
  })
  const lookUp =
    logs.length === 0
      ? undefined
      : new LogLookUp({
          logs: new Map(logs),
          kept: (log, leafHash) => state.getLogEntry(log, leafHash),
          elapsed: () => performance.now(),
          limit: () => AbortSignal.timeout(limitMs),
          onEvent: (event) => watch.onLookUp(event),
        })
  return { lookUp, close: async () => await agent.destroy() }
}

const SERVER_ERROR = 500
const TOO_MANY = 429

/** The same, but for a log that does not answer: that one is left alone, and asked again now and then. */
function guarded(name: string, send: SendToLog, watch: Watch, drills: Drills): SendToLog {
  const breaker = new Breaker(`the log of trust root ${name}`, {
    now: Date.now,
    random: Math.random,
    onChange: (change) => watch.onCircuit(name, { ...change, group: 'log', host: `log of ${name}` }),
  })
  let wasDrilled = false
  return async (request, signal) => {
    const isDrilled = drills.isDown('rekor')
    // What was learnt while a drill took it away says nothing of the log.
    if (wasDrilled && !isDrilled) breaker.reset()
    wasDrilled = isDrilled
    return await breaker
      .run(async () => {
        drills.guard('rekor')
        const answer = await send(request, signal)
        // An answer all the same, and what it means is for the client of the log to say; but it is not asked on and on.
        if (answer.status >= SERVER_ERROR || answer.status === TOO_MANY) throw new Overloaded(answer)
        return answer
      })
      .catch((error: unknown) => {
        if (error instanceof Overloaded) return error.answer
        throw error
      })
  }
}

/** Carries an answer past the breaker, which must hear of it as a failure. */
class Overloaded extends Error {
  override readonly name = 'Overloaded'
  readonly answer: LogAnswer

  constructor(answer: LogAnswer) {
    super(`it answered ${answer.status}`)
    this.answer = answer
  }
}
