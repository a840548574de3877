import type { Config } from '../config/schema.ts'
import { connectUpstreams, openStore } from '../connect.ts'
import { CurrentEpoch } from '../core.ts'
import { Drills } from '../drill.ts'
import type { Peers } from '../peers.ts'
import { compileRings } from '../rings/recognise.ts'
import type { TufFile, TufRepositories } from '../routes/tuf.ts'
import { createServing, TIME, type Serving } from '../serving.ts'
import { createWatch, type Watch } from '../watch.ts'
import { dataListenersAt, tufRepositories, type DataListener } from '../wiring.ts'
import { createVerificationRunner } from '../work/runner.ts'
import { guestName } from './guest.ts'
import type { WorkerStart } from './messages.ts'
import { WorkerRule } from './worker-rule.ts'

/** Everything that runs in a worker. What it leaves to its keeper: trust, policies, migrations, reviews, the admin listener. */
export type WorkerDeps = Serving & {
  readonly watch: Watch
  readonly rule: WorkerRule
  readonly listeners: readonly DataListener[]
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
  { config, places, rule: first }: WorkerStart,
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
  const closing = opened.move()
  return {
    ...serving,
    watch,
    rule,
    listeners: dataListenersAt(config, rings, places),
    flush() {
      serving.core.sightings.flush()
      serving.core.flush()
    },
    close: async () => await closing.disposeAsync(),
  }
}

/** Mirrors are in the keeper's memory; a client asks for a handful of small files an hour. */
function mirroredBy({ trust }: Pick<Config, 'trust'>, keeper: Keeper): TufRepositories {
  const mirrored = [...trust.roots].filter(([, { kind }]) => kind === 'tuf' || kind === 'public-good')
  return new Map(mirrored.map(([name]) => [name, async (path: string) => await keeper.tufFile(name, path)]))
}
