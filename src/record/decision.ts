import { hash } from 'node:crypto'
import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import type { Admission, Judgement, Outcome, PolicyResult } from '../policy/types.ts'
import type { Signer } from '../verify/types.ts'

/** The record of one outcome. The same image judged the same way has the same id on every edge. */
export type Decision = {
  readonly id: string
  readonly subject: DecisionSubject
  readonly outcome: Outcome['kind']
  readonly results: readonly DecisionResult[]
  /** Policies that could not be determined and whose stance let the image pass. */
  readonly admitted: readonly DecisionAdmission[]
}

type DecisionAdmission = { readonly policy: string; readonly by: Admission['by'] }

type DecisionResult = {
  readonly policy: string
  readonly mode: PolicyResult['mode']
  readonly verdict: PolicyResult['verdict']['kind']
  /** Signer, or reason, or cause: one line each. */
  readonly because: readonly string[]
}

export type DecisionSubject = {
  readonly repository: Repository
  readonly digest: Digest | undefined
  /** Whose modes and stances count. The default ring is no part of the key, as if there were no rings. */
  readonly ring: string
  readonly policyVersion: string
  /** The signed bundle that the policies come from. */
  readonly policySource?: string | undefined
  readonly trustVersion: string
}

const ID_LENGTH = 12
const NO_ADMISSIONS: readonly DecisionAdmission[] = []

/** `id`: where the same decision was created before, so that it need not be worked out again. */
export function createDecision(
  subject: DecisionSubject,
  judgement: Judgement,
  outcome: Outcome,
  { summarise = summaryOf, id }: { summarise?: typeof summaryOf; id?: string | undefined } = {},
): Decision {
  const results = summarise(judgement.results)
  const { kind } = outcome
  const told = { subject: subjectOf(subject), outcome: kind, results, admitted: admittedIn(outcome) }
  return { id: id ?? hash('sha256', decisionKey(told), 'hex').slice(0, ID_LENGTH), ...told }
}

/** What makes two decisions the same one. Made when it is needed: it is long, and what is served is not recorded. */
export function decisionKey({ subject, outcome, results, admitted }: Omit<Decision, 'id'>): string {
  return JSON.stringify({
    repository: repositoryName(subject.repository),
    digest: subject.digest,
    ...(subject.ring === DEFAULT_RING ? {} : { ring: subject.ring }),
    outcome,
    policyVersion: subject.policyVersion,
    policySource: subject.policySource,
    trustVersion: subject.trustVersion,
    results,
    ...(admitted.length === 0 ? {} : { admitted }),
  })
}

function summaryOf(results: readonly PolicyResult[]): readonly DecisionResult[] {
  return results.map(summarise)
}

/** The same; for results that are one object, one object. */
export function rememberSummaries(): typeof summaryOf {
  const known = new WeakMap<readonly PolicyResult[], readonly DecisionResult[]>()
  return (results) => {
    let summary = known.get(results)
    if (summary === undefined) known.set(results, (summary = summaryOf(results)))
    return summary
  }
}

/** Nothing but what belongs in the record, whatever else the caller's object has. */
function subjectOf({
  repository,
  digest,
  ring,
  policyVersion,
  policySource,
  trustVersion,
}: DecisionSubject): DecisionSubject {
  return { repository, digest, ring, policyVersion, policySource, trustVersion }
}

function admittedIn(outcome: Outcome): readonly DecisionAdmission[] {
  if (outcome.kind !== 'serve' || outcome.admitted.length === 0) return NO_ADMISSIONS
  return outcome.admitted.map(({ result, by }) => ({ policy: result.policy, by }))
}

function summarise(result: PolicyResult): DecisionResult {
  return { policy: result.policy, mode: result.mode, verdict: result.verdict.kind, because: because(result) }
}

function signerText(signer: Signer | undefined): string {
  if (signer === undefined) return 'says so itself'
  return signer.kind === 'key'
    ? `key ${signer.key}`
    : `${signer.identity.subject} (${signer.identity.issuer})`
}

function because({ verdict }: PolicyResult): readonly string[] {
  switch (verdict.kind) {
    case 'satisfied':
      return verdict.by.map(({ authority, signer }) => `${authority}: ${signerText(signer)}`)
    case 'violated':
      return verdict.reasons.map(
        (reason) => `${reason.code}: found ${reason.found}, expected ${reason.expected}`,
      )
    case 'undetermined':
      return verdict.causes.map((cause) => `${cause.dependency}: ${cause.message}`)
  }
}
