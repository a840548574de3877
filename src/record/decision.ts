import { hash } from 'node:crypto'
import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import type { Admission, Judgement, Outcome, PolicyResult } from '../policy/types.ts'
import type { Signer } from '../verify/types.ts'

/** The record of one outcome. The same image judged the same way has the same id on every edge. */
export type Decision = {
  readonly id: string
  /** What makes two decisions the same one. */
  readonly key: string
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

export function createDecision(subject: DecisionSubject, judgement: Judgement, outcome: Outcome): Decision {
  const results = judgement.results.map(summarise)
  const admitted = admittedIn(outcome)
  const content = {
    repository: repositoryName(subject.repository),
    digest: subject.digest,
    ...(subject.ring === DEFAULT_RING ? {} : { ring: subject.ring }),
    outcome: outcome.kind,
    policyVersion: subject.policyVersion,
    policySource: subject.policySource,
    trustVersion: subject.trustVersion,
    results,
    ...(admitted.length === 0 ? {} : { admitted }),
  }
  const key = JSON.stringify(content)
  const id = hash('sha256', key, 'hex').slice(0, ID_LENGTH)
  return { id, key, subject: subjectOf(subject), outcome: outcome.kind, results, admitted }
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
  if (outcome.kind !== 'serve') return []
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
