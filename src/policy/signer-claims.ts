import type { Signer } from '../verify/types.ts'
import type { Claimed } from './claimed.ts'
import type { Provenance } from './provenance.ts'
import { GITHUB_HOSTED_RUNNER, isDelegator, isGitHubSigner, isGitHubWorkflow } from './slsa-level.ts'
import { parseSourceUri } from './source-uri.ts'
import type { Shortfall } from './types.ts'

/**
 * What the certificate authority says of the build in which the certificate was used, held against what the provenance
 * says of it. A workflow may sign provenance with any content, also about somebody else's source: its certificate tells.
 */
export function contradictionOf(provenance: Provenance, signer: Signer): Shortfall | undefined {
  if (signer.kind === 'key') return undefined
  const { extensions } = signer.identity
  // GitHub's certificates had extensions of their own before Fulcio had them for every issuer (oid-info.md, .1 to .6).
  const github = isGitHubSigner(signer) ? extensions : {}
  const repository = extensions.sourceRepositoryURI ?? gitHubUri(github.githubWorkflowRepository)
  const ref = extensions.sourceRepositoryRef ?? github.githubWorkflowRef
  const digest = extensions.sourceRepositoryDigest ?? github.githubWorkflowSHA
  return (
    contradiction('source repository', provenance.sourceRepository, normalised(repository)) ??
    contradiction('source ref', provenance.sourceRef, ref) ??
    contradiction('source digest', provenance.sourceDigest, digest) ??
    builderContradiction(provenance.builderId, signer)
  )
}

/** A GitHub workflow is told by its certificate; other builders' ids are names that they choose. */
function builderContradiction(builderId: Claimed<string>, signer: Signer): Shortfall | undefined {
  if (!isGitHubSigner(signer) || builderId.lack !== undefined) return undefined
  const { subject, extensions } = signer.identity
  if (builderId.value === GITHUB_HOSTED_RUNNER) {
    const environment = extensions.runnerEnvironment
    return contradiction(
      'builder',
      builderId,
      environment === 'self-hosted' ? 'a self-hosted runner' : undefined,
    )
  }
  if (!isGitHubWorkflow(builderId.value) || isDelegator(signer)) return undefined
  return contradiction('builder', builderId, extensions.buildSignerURI ?? subject)
}

/** What only one of the two says is no contradiction. */
function contradiction(
  name: string,
  claimed: Claimed<string>,
  certified: string | undefined,
): Shortfall | undefined {
  if (claimed.lack !== undefined || certified === undefined || claimed.value === certified) return undefined
  return {
    found: `a provenance attestation that claims ${name} ${claimed.value}, signed in a build with ${name} ${certified}`,
    expected: "provenance of the signer's own build",
  }
}

function gitHubUri(repository: string | undefined): string | undefined {
  return repository === undefined ? undefined : `https://github.com/${repository}`
}

function normalised(uri: string | undefined): string | undefined {
  if (uri === undefined) return undefined
  const location = parseSourceUri(uri)
  return typeof location === 'string' ? uri : location.repository
}
