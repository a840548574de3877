import type { Config } from '../config/schema.ts'
import { connectUpstreams, openStore, type Store } from '../connect.ts'
import { CurrentEpoch, type Core } from '../core.ts'
import { Drills } from '../drill.ts'
import { HandedJudgements } from '../handed-judgement.ts'
import type { Peers } from '../peers.ts'
import { compileRings } from '../rings/recognise.ts'
import type { ManifestAnswers } from '../routes/manifest.ts'
import type { TufFile, TufRepositories } from '../routes/tuf.ts'
import { createServing, TIME, type Serving } from '../serving.ts'
import { createWatch, type Watch } from '../watch.ts'
import { dataListenersAt, tufRepositories, type DataListener } from '../wiring.ts'
import { createVerificationRunner } from '../work/runner.ts'
import { createAnswerPull, type AnswerPull } from './cold.ts'
import { guestName } from './guest.ts'
import { HandOver } from './hand-over.ts'
import type { WorkerStart } from './messages.ts'
import { createHandOverMetrics } from './metrics.ts'
import { WorkerRule } from './worker-rule.ts'

/** A cold worker answers when the time of a pull is up: whoever handed it over waits for that answer, and no longer. */
const HANDED_BACK_LATE_MS = 1_000

/** Everything that runs in a worker. What it leaves to its keeper: trust, policies, migrations, reviews, the admin listener. */
export type WorkerDeps = Serving & {
  readonly watch: Watch
  readonly rule: WorkerRule
  readonly listeners: readonly DataListener[]
  /** What a cold worker does for others. */
  readonly answerPull: AnswerPull
  /** Writes at once to the store what is only in memory: there may be no time for more. */
  flush(): void
  close(): Promise<void>
}

export type Keeper = Peers & {
  /** A file of a repository that the keeper mirrors. Rejects where the keeper does not answer. */
  tufFile(name: string, path: string): Promise<TufFile | undefined>
}

/** Throws StoreError where the data directory cannot be used, and TypeError where the rule is not what the keeper has. */
export async function createWorkerDeps(
  { role, sockets, config, places, rule: first }: WorkerStart,
  keeper: Keeper,
): Promise<WorkerDeps> {
  await using opened = new AsyncDisposableStack()
  const watch = createWatch(config, TIME.now)
  opened.defer(async () => await watch.flush())
  // The keeper tells of drills.
  const drills = new Drills({ now: TIME.now })
  const rings = compileRings(config.rings)
  const store = await openStore(config, watch, TIME.now, { sharing: 'guest', guest: guestName(process.pid) })
  opened.defer(() => store.state.close())
  opened.defer(async () => await store.content.close())
  const current = new CurrentEpoch()
  const rule = new WorkerRule(config, { current, drills })
  await rule.follow(first)
  const upstreams = connectUpstreams(config, watch, drills)
  opened.defer(async () => await upstreams.close())
  const runner = createVerificationRunner()
  opened.defer(async () => await runner.close())
  const tuf = tufRepositories(config, mirroredBy(config, keeper))
  const parts = { watch, drills, store, current, upstreams, runner, tuf, peers: keeper }
  const serving = createServing(config, parts, opened)
  const judgements = judgementsOf(serving.core, parts)
  const own = serving.app.manifest
  const isHandingOver = role === 'serving' && sockets.length > 0
  const handOver = isHandingOver ? handingOver(config, own, { sockets, judgements, watch }) : undefined
  opened.defer(() => handOver?.close())
  const closing = opened.move()
  return {
    ...serving,
    app: { ...serving.app, manifest: handOver ?? own },
    answerPull: createAnswerPull({ manifest: own, judgements, rings: [...rings.rings, rings.fallback] }),
    watch,
    rule,
    listeners: dataListenersAt(config, rings, places),
    flush() {
      serving.core.sightings.flush()
      serving.core.flush()
      store.state.flush()
    },
    close: async () => await closing.disposeAsync(),
  }
}

/** What this process knows of images, for those that have the same store. */
function judgementsOf(
  { gate, judge, manifests }: Core,
  { store: { state, shared }, current }: { store: Store; current: CurrentEpoch },
): HandedJudgements {
  if (shared === undefined) throw new TypeError('the store of a worker is shared')
  return new HandedJudgements({
    ...shared,
    state,
    gate,
    judge,
    manifests,
    epoch: () => current.get(),
    elapsed: TIME.elapsed,
  })
}

type HandingOver = {
  readonly sockets: readonly string[]
  readonly judgements: HandedJudgements
  readonly watch: Watch
}

function handingOver(
  { deadlines }: Config,
  own: ManifestAnswers,
  { sockets, judgements, watch }: HandingOver,
): HandOver {
  const handedOver = createHandOverMetrics(watch.metrics.registry)
  const { pullMs } = deadlines
  return new HandOver(own, {
    sockets,
    judgements,
    deadline: () => AbortSignal.timeout(pullMs),
    limit: () => AbortSignal.timeout(pullMs + HANDED_BACK_LATE_MS),
    count: (result) => handedOver.inc({ result }),
    later: (call, ms) => void setTimeout(call, ms).unref(),
  })
}

/** Mirrors are in the keeper's memory; a client asks for a handful of small files an hour. */
function mirroredBy({ trust }: Pick<Config, 'trust'>, keeper: Keeper): TufRepositories {
  const mirrored = [...trust.roots].filter(([, { kind }]) => kind === 'tuf' || kind === 'public-good')
  return new Map(mirrored.map(([name]) => [name, async (path: string) => await keeper.tufFile(name, path)]))
}
