import { foundIn, type Asked, type ColdSteps, type Found } from './cold-steps.ts'
import type { Gate } from './gate.ts'
import type { Judge } from './judge.ts'
import { repositoryName } from './oci/reference.ts'
import { enforce, UNMATCHED } from './policy/decide.ts'
import { basisOf, demandText } from './policy/describe.ts'
import { policiesFor, type IndexedPolicySet } from './policy/policy-index.ts'
import { admissionText, refusalMessage, warningText } from './policy/refusal.ts'
import type { Outcome, Policy, PolicyResult } from './policy/types.ts'
import { createDecision, type Decision } from './record/decision.ts'
import type { InRing } from './rings/per-ring.ts'
import type { Timings } from './timings.ts'
import type { ManifestSource } from './upstream/manifest-source.ts'

export type ExplainDeps = {
  readonly cold: Pick<ColdSteps, 'find'>
  readonly manifests: Pick<ManifestSource, 'believed' | 'inMemory'>
  readonly judge: Pick<Judge, 'known'>
  readonly gate: Pick<Gate, 'rehearse'>
  readonly inRing: InRing
  /** Those in force. */
  readonly policies: () => IndexedPolicySet
  /** As of a pull. */
  readonly deadline: () => AbortSignal
  /** Milliseconds, monotonic. */
  readonly elapsed: () => number
}

/**
 * What a pull would get, and why. It is judged as for a pull, and what that finds out is remembered: the verdict, its
 * evidence, that it was satisfied or refused. But it is no pull: nothing is served, let pass, recorded or counted as one.
 */
export type Explanation = {
  readonly image: string
  readonly digest: string | undefined
  readonly ring: string
  readonly outcome: Outcome['kind'] | 'admitted'
  /** The sentences that a client would read. */
  readonly messages: readonly string[]
  /** Under which id a pull with this outcome is in the log. */
  readonly decision: string
  readonly policies: readonly ExplainedPolicy[]
  readonly versions: Pick<Decision['subject'], 'policyVersion' | 'policySource' | 'trustVersion'>
  readonly cache: Found['cache']
  /** Milliseconds by step, of this very question. */
  readonly steps: Timings
  /** The same of the judgement that it rests on, where that was made before. */
  readonly judgedIn?: Timings
}

type ExplainedPolicy = Decision['results'][number] & {
  /** What the document says; nothing of it for the rule for images without a policy, and for revocations. */
  readonly asks?: {
    readonly place: string
    readonly needs: string
    readonly restsOn: readonly string[]
    readonly stance: PolicyResult['stance']
    readonly verifyBudgetMs?: number
    readonly runbook?: string
  }
}

/** What a pull of the image would come to now, from memory; undefined where something has to be asked for first. */
export function explainWarm(asked: Asked, deps: ExplainDeps): Explanation | undefined {
  const start = deps.elapsed()
  const { repository, reference, ring } = asked
  const digest = deps.manifests.believed(repository, reference)?.digest
  const judged = digest === undefined ? undefined : deps.judge.known(repository, digest)
  if (judged === undefined) return undefined
  const explained = answerOf(asked, foundIn(judged, ring, deps.inRing, 'warm'), deps)
  return { ...explained, steps: { total: deps.elapsed() - start }, judgedIn: judged.timings }
}

/**
 * The same for any image, with all that has to be asked for. `onWork` is told of work that may outlast the answer. Rejects
 * with UpstreamError where there is nothing to judge.
 */
export async function explainCold(
  asked: Asked,
  deps: ExplainDeps,
  onWork: (work: Promise<unknown>) => void,
): Promise<Explanation> {
  const start = deps.elapsed()
  const timings: Timings = {}
  const found = await deps.cold.find(asked, deps.deadline(), timings, onWork)
  const explained = answerOf(asked, found, deps)
  return { ...explained, steps: { ...timings, ...found.judged?.timings, total: deps.elapsed() - start } }
}

function answerOf(asked: Asked, found: Found, deps: ExplainDeps): Omit<Explanation, 'steps'> {
  const { repository, ring } = asked
  const { digest, ruling, cache } = found
  const outcome = outcomeOf(asked, found, deps)
  const decision = createDecision({ ...found, repository, ring: ring.name }, ruling, outcome)
  const { policyVersion, policySource, trustVersion } = decision.subject
  const policies = new Map(
    policiesFor(deps.policies(), repositoryName(repository)).map((one) => [one.name, one]),
  )
  return {
    image: repositoryName(repository),
    digest,
    ring: ring.name,
    outcome: outcome.kind === 'serve' && outcome.admitted.length > 0 ? 'admitted' : outcome.kind,
    messages: messagesOf(outcome, decision.id),
    decision: decision.id,
    policies: decision.results.map((result, index) =>
      explainedPolicy(result, ruling.results[index], policies),
    ),
    versions: { policyVersion, policySource, trustVersion },
    cache,
  }
}

/** Only bytes that are at hand are let pass unjudged, as in a pull. */
function outcomeOf({ repository }: Asked, { digest, judged, ruling }: Found, deps: ExplainDeps): Outcome {
  const isAtHand =
    judged !== undefined ||
    (digest !== undefined && deps.manifests.inMemory(repository, digest) !== undefined)
  return digest !== undefined && isAtHand
    ? deps.gate.rehearse(repository, digest, ruling, new Map())
    : enforce(ruling)
}

function messagesOf(outcome: Outcome, decision: string): readonly string[] {
  const warnings = outcome.warnings.map((result) => warningText(result, decision))
  if (outcome.kind !== 'serve') return [refusalMessage(outcome, decision).line, ...warnings]
  return [...outcome.admitted.map((admission) => admissionText(admission, decision)), ...warnings]
}

function explainedPolicy(
  told: Decision['results'][number],
  result: PolicyResult | undefined,
  policies: ReadonlyMap<string, Policy>,
): ExplainedPolicy {
  const policy = told.policy === UNMATCHED ? undefined : policies.get(told.policy)
  if (policy === undefined || result === undefined) return told
  const { origin, authorities, runbook, verifyBudgetMs } = policy
  const asks = {
    place: origin,
    needs: demandText(policy),
    restsOn: authorities.map((authority) => `${authority.name}: ${basisOf(authority)}`),
    stance: result.stance,
    ...(verifyBudgetMs === undefined ? {} : { verifyBudgetMs }),
    ...(runbook === undefined ? {} : { runbook }),
  }
  return { ...told, asks }
}
