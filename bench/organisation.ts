import { loadPolicies, type PolicySources } from '../src/policy/load.ts'
import type { IndexedPolicySet } from '../src/policy/policy-index.ts'
import { digestOf, type Digest } from '../src/oci/digest.ts'
import { slsaStatement } from '../src/testing/statements.ts'
import type { Verified } from '../src/verify/types.ts'

/** The policies of one large organisation, and the evidence that its images have. */

/** Documents to a file: no file may hold more than 1 MiB. */
const DOCUMENTS_A_FILE = 500
const ISSUER = 'https://token.actions.githubusercontent.com'
export const NOW = new Date('2026-11-20T12:00:00Z')
const SOURCE = {
  found: 'referrer',
  manifest: digestOf(Buffer.from('manifest')),
  blob: digestOf(Buffer.from('bundle')),
} as const

function policyText(name: string, glob: string, repository: string): string {
  return `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: ${name} }
spec:
  mode: enforce
  images: [{ glob: "${glob}" }]
  authorities:
    - name: release
      keyless:
        identities:
          - issuer: ${ISSUER}
            subjectPattern: https://github\\.com/acme/${repository}/\\.github/workflows/release\\.yml@refs/heads/.*
      attestations:
        - name: provenance
          predicateType: https://slsa.dev/provenance/v1
          slsa:
            level: 3
            builders: [{ id: https://github.com/actions/runner/github-hosted, level: 3 }]
            sources: [{ pattern: https://github\\.com/acme/.* }]
`
}

function revocationText(index: number): string {
  const digest = digestOf(Buffer.from(`revoked ${index}`))
  return `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata: { name: incident-${index} }
spec:
  reason: an incident
  deny:
    - digest: ${digest}
    - identity: { subject: "https://github.com/acme/gone-${index}/.github/workflows/release.yml@refs/heads/main" }
`
}

/** All in one organisation: names, names with a wildcard, teams, and one policy for everything. */
function registryOf(size: number): readonly string[] {
  return Array.from({ length: size }, (_, index) => {
    const id = String(index).padStart(4, '0')
    if (index === 0) return policyText('everything', 'ghcr.io/acme/**', '.*')
    if (index % 10 === 1) return policyText(`team-${id}`, `ghcr.io/acme/team-${id}/**`, '.*')
    if (index % 10 === 2) return policyText(`line-${id}`, `ghcr.io/acme/line-${id}-*`, '.*')
    return policyText(`app-${id}`, `ghcr.io/acme/app-${id}`, `app-${id}`)
  })
}

export function repositoryOf(index: number): string {
  const id = String(index).padStart(4, '0')
  if (index % 10 === 1) return `team-${id}/service`
  return index % 10 === 2 ? `line-${id}-worker` : `app-${id}`
}

/** `size` policies and `revocations` revocations that are about every image and hit none. */
export function loadOrganisation(size: number, revocations: number): IndexedPolicySet {
  const incidents = Array.from({ length: revocations }, (_, index) => revocationText(index))
  const documents = [...registryOf(size), ...incidents]
  const count = Math.ceil(documents.length / DOCUMENTS_A_FILE)
  const files = Array.from({ length: count }, (_, file) => ({
    path: `${file}.yaml`,
    text: documents.slice(file * DOCUMENTS_A_FILE, (file + 1) * DOCUMENTS_A_FILE).join('---\n'),
  }))
  const sources: PolicySources = {
    files,
    trustRoots: new Set(['public-good']),
    keySets: new Set(),
    rings: new Set(['default']),
    defaultMode: 'enforce',
    unmatched: 'enforce',
    defaultStance: 'closed',
    stanceLimit: undefined,
  }
  const loaded = loadPolicies(sources)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems[0]))
  return loaded.set
}

/** One keyless signature and SLSA provenance, as GitHub Actions makes them. */
export function evidenceOf(repository: string, digest: Digest): readonly Verified[] {
  const [project = ''] = repository.split('/')
  const url = `https://github.com/acme/${project}`
  const workflow = `${url}/.github/workflows/release.yml@refs/heads/main`
  const identity = {
    subject: workflow,
    subjectType: 'uri',
    issuer: ISSUER,
    extensions: {
      buildSignerURI: workflow,
      runnerEnvironment: 'github-hosted',
      sourceRepositoryURI: url,
      sourceRepositoryRef: 'refs/heads/main',
      sourceRepositoryOwnerURI: 'https://github.com/acme',
      buildConfigURI: workflow,
      buildTrigger: 'push',
      runInvocationURI: `${url}/actions/runs/1234567890/attempts/1`,
    },
  } as const
  const common = {
    source: SOURCE,
    signer: { kind: 'keyless', trustRoot: 'public-good', identity, byRetiringRoot: false },
    logs: [
      {
        trustRoot: 'public-good',
        logId: 'c0'.repeat(32),
        logIndex: '123456789',
        promise: true,
        inclusion: true,
      },
    ],
    times: [{ trustRoot: 'public-good', source: 'log', authority: 'c0'.repeat(32), time: NOW }],
  } as const
  const { predicateType, predicate } = slsaStatement({
    name: repository,
    sha256: digest.slice('sha256:'.length),
    repository: url,
  })
  return [
    { ...common, claim: { kind: 'signature' } },
    { ...common, claim: { kind: 'attestation', statement: { predicateType, predicate } } },
  ]
}
