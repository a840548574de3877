import { hash } from 'node:crypto'
import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import type { Judgement, Outcome, PolicyResult } from '../policy/types.ts'

/** The record of one outcome. The same image judged the same way has the same id on every edge. */
export type Decision = {
  readonly id: string
  /** What makes two decisions the same one. */
  readonly key: string
  readonly subject: DecisionSubject
  readonly outcome: Outcome['kind']
  readonly results: readonly DecisionResult[]
}

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
  readonly policyVersion: string
  readonly trustVersion: string
}

const ID_LENGTH = 12

export function createDecision(subject: DecisionSubject, judgement: Judgement, outcome: Outcome): Decision {
  const results = judgement.results.map(summarise)
  const content = {
    repository: repositoryName(subject.repository),
    digest: subject.digest,
    outcome: outcome.kind,
    policyVersion: subject.policyVersion,
    trustVersion: subject.trustVersion,
    results,
  }
  const key = JSON.stringify(content)
  return { id: hash('sha256', key, 'hex').slice(0, ID_LENGTH), key, subject, outcome: outcome.kind, results }
}

function summarise(result: PolicyResult): DecisionResult {
  return { policy: result.policy, mode: result.mode, verdict: result.verdict.kind, because: because(result) }
}

function because({ verdict }: PolicyResult): readonly string[] {
  switch (verdict.kind) {
    case 'satisfied':
      return verdict.by.map(({ authority, signer }) =>
        signer.kind === 'key'
          ? `${authority}: key ${signer.key}`
          : `${authority}: ${signer.identity.subject} (${signer.identity.issuer})`,
      )
    case 'violated':
      return verdict.reasons.map(
        (reason) => `${reason.code}: found ${reason.found}, expected ${reason.expected}`,
      )
    case 'undetermined':
      return verdict.causes.map((cause) => `${cause.dependency}: ${cause.message}`)
  }
}
