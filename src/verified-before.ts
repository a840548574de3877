import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { demandedIn } from './policy/fact-versions.ts'
import type { Judgement, PolicyResult } from './policy/types.ts'
import type { SatisfiedFact, StateStore } from './store/types.ts'

export type VerifiedBeforeDeps = {
  state: Pick<StateStore, 'noteSatisfied' | 'lastSatisfied'>
  now: () => Date
  /** How long ago an image may have satisfied a policy last. */
  lastVerifiedMaxAgeMs: number
}

type Fact = Omit<SatisfiedFact, 'at'>

/** An image that is pulled all the time is noted this often: far below any age that a stance could be given. */
const NOTE_EVERY_MS = 60 * 60 * 1000

/**
 * What satisfied which policy before, and when: all that stance `last-verified` knows. Outlives a restart. A violation
 * ends it, so an outage lets nothing in that was refused before.
 */
export class VerifiedBefore {
  readonly #deps: VerifiedBeforeDeps
  /** When a judgement is due to be noted again: what is asked for on every warm request. */
  readonly #dueAtMs = new WeakMap<Judgement, number>()
  /** By what a violation would end. */
  readonly #pending = new Map<string, readonly SatisfiedFact[]>()

  constructor(deps: VerifiedBeforeDeps) {
    this.#deps = deps
  }

  /** Whether the image satisfied the policy by this fact version, not too long ago, and has not violated it since. */
  isRecent(fact: Fact): boolean {
    const at = this.#lastValid(fact)
    // Either way: a clock that was wrong for a while must not make a fact last for ever.
    return at !== undefined && this.#ageMs(at) <= this.#deps.lastVerifiedMaxAgeMs
  }

  /**
   * The same for the first of these images, which the others name: what was true of an index was true of all that it
   * lists. So is a violation: it ends what was satisfied before by any of them. A violation by the image itself is not
   * mended by an index; nor is a refusal, unless the image satisfied the policy itself since.
   */
  isRecentIn(images: readonly Digest[], fact: Omit<Fact, 'digest'>, wasRefused: () => boolean): boolean {
    const facts = images.map((digest) => ({ ...fact, digest }))
    const [own] = facts
    if (own === undefined) return false
    const isOwn = this.#lastValid(own) !== undefined
    if (!isOwn && (this.#endedAtMs(own) !== -Infinity || wasRefused())) return false
    const endedAtMs = Math.max(...facts.map((one) => this.#endedAtMs(one)))
    return facts.some((one) => this.isRecent(one) && Number(this.#lastValid(one)) > endedAtMs)
  }

  /** Remembers what the image satisfies now; true where it was not remembered lately. Written by the next flush. */
  note(repository: Repository, digest: Digest, judgement: Judgement): boolean {
    const now = this.#deps.now()
    if (now.getTime() < (this.#dueAtMs.get(judgement) ?? 0)) return false
    this.#dueAtMs.set(judgement, now.getTime() + NOTE_EVERY_MS)
    for (const { policy, version, factVersions = [], verdict } of resultsOf(judgement, 'satisfied')) {
      const fact = { repository, digest, policy, at: this.#noteAt(now, verdict) }
      // Also under the policy's version alone: to know that there is something that a violation can end.
      const versions = new Set([version, ...factVersions])
      this.#pending.set(
        keyOf({ ...fact, policyVersion: version }),
        [...versions].map((policyVersion) => ({ ...fact, policyVersion })),
      )
    }
    return true
  }

  /** What will be too old to count is noted as if it had been satisfied earlier: so the fact ends with its evidence. */
  #noteAt(now: Date, verdict: PolicyResult['verdict']): Date {
    if (verdict.kind !== 'satisfied' || verdict.until === undefined) return now
    return new Date(Math.min(now.getTime(), verdict.until.getTime() - this.#deps.lastVerifiedMaxAgeMs))
  }

  /** A violation: what satisfied a policy before does no more, whatever cannot be known later. */
  end(repository: Repository, digest: Digest, judgement: Judgement): void {
    for (const { policy, version } of resultsOf(judgement, 'violated')) {
      const fact = { repository, digest, policy, policyVersion: version }
      this.#pending.delete(keyOf(fact))
      // Without an earlier fact there is nothing to end, and whoever may push cannot fill the table.
      const satisfiedAt = this.#lastValid(fact)
      if (satisfiedAt === undefined) continue
      // Not before what it ends, whatever the clock says now.
      const at = new Date(Math.max(this.#deps.now().getTime(), satisfiedAt.getTime()))
      this.#deps.state.noteSatisfied({ ...endOf(fact), at })
    }
  }

  /** Writes what is still to be noted. To be called every few seconds. */
  flush(): void {
    for (const fact of [...this.#pending.values()].flat()) {
      const last = this.#lastValid(fact)
      if (last === undefined || this.#ageMs(last) >= NOTE_EVERY_MS) this.#deps.state.noteSatisfied(fact)
    }
    this.#pending.clear()
  }

  #lastValid(fact: Fact): Date | undefined {
    const satisfiedAt = this.#deps.state.lastSatisfied(fact)
    if (satisfiedAt === undefined) return undefined
    return this.#endedAtMs(fact) < satisfiedAt.getTime() ? satisfiedAt : undefined
  }

  /** -Infinity where it never was. */
  #endedAtMs(fact: Fact): number {
    return this.#deps.state.lastSatisfied(endOf(fact))?.getTime() ?? -Infinity
  }

  #ageMs(at: Date): number {
    return Math.abs(this.#deps.now().getTime() - at.getTime())
  }
}

/** The store knows one kind of fact, so the end is kept as a fact of its own: one for all who satisfied the policy. */
function endOf(fact: Fact): Fact {
  return { ...fact, policyVersion: `violated ${demandedIn(fact.policyVersion)}` }
}

/** Policies that are judged: in mode off nobody looks for evidence, and the rule for the unmatched has no version. */
function resultsOf(
  { results }: Judgement,
  kind: PolicyResult['verdict']['kind'],
): readonly Pick<PolicyResult, 'policy' | 'version' | 'factVersions' | 'verdict'>[] {
  return results.filter(
    ({ mode, version, verdict }) => mode !== 'off' && version !== '' && verdict.kind === kind,
  )
}

function keyOf({ repository, digest, policy, policyVersion }: Fact): string {
  return `${repositoryName(repository)}@${digest} ${policy} ${policyVersion}`
}
