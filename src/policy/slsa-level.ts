import type { Signer } from '../verify/types.ts'

/**
 * SLSA Build levels of builders that publish theirs. A level is no claim of the provenance: it follows from which builder
 * it was, and counts only where the signer shows that it is this builder, since whoever signs may write any builder id.
 */
export type Level = 0 | 1 | 2 | 3

const GITHUB_ISSUER = 'https://token.actions.githubusercontent.com'
/** What GitHub and npm wrote before the builder id was the workflow. */
export const GITHUB_HOSTED_RUNNER = 'https://github.com/actions/runner/github-hosted'
const GITHUB_WORKFLOW =
  /^https:\/\/github\.com\/[A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+\/\.github\/workflows\/[A-Za-z0-9_./-]+@refs\/.+$/

const GENERATOR = 'https://github.com/slsa-framework/slsa-github-generator/.github/workflows/'
/** slsa-github-generator reaches Build L3 when it is called by a release tag; at a branch its code may be anything. */
const GENERATOR_WORKFLOW = /^(?:builder|generator)_[a-z-]+_slsa3\.yml@refs\/tags\/v\d+\.\d+\.\d+$/
/** Signs for builders that are built on it (BYOB). */
const DELEGATOR_WORKFLOW = /^delegator_(?:lowperms-)?generic_slsa3\.yml@refs\/tags\/v\d+\.\d+\.\d+$/

/** Google Cloud Build's hosted workers; signed with Google's keys, so that a policy names one of them, and the worker. */
const CLOUD_BUILD = /^https:\/\/cloudbuild\.googleapis\.com\/GoogleHostedWorker(?:@v0\.[23])?$/

/** What provenance with this builder id reaches when this signer signed it; 0: nothing is known. */
export function levelOf(builderId: string, signer: Signer): Level {
  if (signer.kind === 'key') return CLOUD_BUILD.test(builderId) ? 3 : 0
  const { issuer, subject, extensions } = signer.identity
  if (issuer !== GITHUB_ISSUER) return 0
  const isSigner = subject === builderId
  if (isGenerator(builderId) && (isSigner || isDelegator(signer))) return 3
  if (!isSigner && builderId !== GITHUB_HOSTED_RUNNER) return 0
  return extensions.runnerEnvironment === 'github-hosted' ? 2 : 0
}

/** The most that a builder id can reach, whoever signs. */
export function levelMaxOf(builderId: string): Level {
  if (isGenerator(builderId) || CLOUD_BUILD.test(builderId)) return 3
  return builderId === GITHUB_HOSTED_RUNNER || isGitHubWorkflow(builderId) ? 2 : 0
}

export function isGitHubWorkflow(builderId: string): boolean {
  return GITHUB_WORKFLOW.test(builderId)
}

/** Its certificate says nothing of the builder that it signs for. */
export function isDelegator(signer: Signer): boolean {
  if (signer.kind === 'key' || signer.identity.issuer !== GITHUB_ISSUER) return false
  const { subject } = signer.identity
  return subject.startsWith(GENERATOR) && DELEGATOR_WORKFLOW.test(subject.slice(GENERATOR.length))
}

export function isGitHubSigner(signer: Signer): signer is Extract<Signer, { kind: 'keyless' }> {
  return signer.kind === 'keyless' && signer.identity.issuer === GITHUB_ISSUER
}

function isGenerator(builderId: string): boolean {
  return builderId.startsWith(GENERATOR) && GENERATOR_WORKFLOW.test(builderId.slice(GENERATOR.length))
}
