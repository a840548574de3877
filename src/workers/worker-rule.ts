import { compilePolicies } from '../config/policy-files.ts'
import type { Config } from '../config/schema.ts'
import type { CurrentEpoch } from '../core.ts'
import type { Drills } from '../drill.ts'
import { problemText } from '../policy/problem.ts'
import { HELD } from '../policy-source/held.ts'
import type { PoliciesInForce } from '../policy-source/keeper.ts'
import type { TrustSnapshot } from '../trust/snapshot.ts'
import { finishInTurns } from '../work/turns.ts'
import type { PolicyData, Rule } from './messages.ts'
import { snapshotOf } from './trust-data.ts'

/** What a worker goes by: what its keeper has told it, in the order in which it did. */
export class WorkerRule {
  readonly #config: Config
  readonly #current: CurrentEpoch
  readonly #drills: Drills
  #trust: TrustSnapshot | undefined
  #policies: PoliciesInForce | undefined
  /** The tail of a queue: a large set takes a while to compile. */
  #following: Promise<unknown> = Promise.resolve()

  constructor(config: Config, deps: { current: CurrentEpoch; drills: Drills }) {
    this.#config = config
    this.#current = deps.current
    this.#drills = deps.drills
  }

  /** Resolves when every new request goes by it. Rejects where it comes out as something else than the keeper's. */
  async follow(rule: Rule): Promise<void> {
    const mine = this.#following.then(async () => await this.#follow(rule))
    this.#following = mine.catch(() => undefined)
    await mine
  }

  async #follow({ trust, policies, drill }: Rule): Promise<void> {
    if (drill !== undefined) this.#drills.follow(drill ?? undefined)
    if (trust === undefined && policies === undefined) return
    const inForce = policies === undefined ? this.#policies : await inForceOf(this.#config, policies)
    const snapshot = trust === undefined ? this.#trust : snapshotOf(trust, this.#trust)
    if (inForce === undefined || snapshot === undefined) throw new TypeError('the first rule is not whole')
    // Both at once: never new policies without the keys that they name.
    this.#current.begin(inForce, snapshot)
    this.#policies = inForce
    this.#trust = snapshot
  }
}

async function inForceOf(
  config: Config,
  { version, files, origin, since }: PolicyData,
): Promise<PoliciesInForce> {
  if (origin === undefined) return { set: HELD, origin, since }
  const load = await finishInTurns(compilePolicies(config, files))
  if (!load.ok) throw new TypeError(`the policies do not load: ${load.problems.map(problemText).join('; ')}`)
  if (load.set.version !== version)
    throw new TypeError(`found policies ${load.set.version}, expected ${version}`)
  return { set: load.set, origin, since }
}
