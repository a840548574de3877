import { performance } from 'node:perf_hooks'
import { bindPolicies } from '../src/policy/bind.ts'
import { decide } from '../src/policy/decide.ts'
import { loadPolicies, type PolicySources } from '../src/policy/load.ts'
import { policiesFor, revocationsFor, type IndexedPolicySet } from '../src/policy/policy-index.ts'
import type { ImageFacts } from '../src/policy/types.ts'
import { decodeFindings, encodeFindings } from '../src/findings.ts'
import { digestOf, type Digest } from '../src/oci/digest.ts'
import type { StoredFindings } from '../src/store/types.ts'
import { slsaStatement } from '../src/testing/statements.ts'
import type { Verified } from '../src/verify/types.ts'

/** How long it takes to judge known images by a large registry of policies. No network, no crypto, no disk. */

const POLICIES = 10_000
const REVOCATIONS = 100
const DIGESTS = 100_000
/** Documents to a file: no file may hold more than 1 MiB. */
const DOCUMENTS_A_FILE = 500

const ISSUER = 'https://token.actions.githubusercontent.com'
const NOW = new Date('2026-11-20T12:00:00Z')
const SOURCE = {
  found: 'referrer',
  manifest: digestOf(Buffer.from('manifest')),
  blob: digestOf(Buffer.from('bundle')),
} as const

type Known = { readonly image: ImageFacts; readonly stored: StoredFindings }
type Judged = { readonly image: ImageFacts; readonly verified: readonly Verified[] }

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

function repositoryOf(index: number): string {
  const id = String(index).padStart(4, '0')
  if (index % 10 === 1) return `team-${id}/service`
  return index % 10 === 2 ? `line-${id}-worker` : `app-${id}`
}

function load(documents: readonly string[]): IndexedPolicySet {
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
function evidenceOf(repository: string, digest: Digest): readonly Verified[] {
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

function knownOf(index: number, size: number): Known {
  const repository = repositoryOf(1 + (index % (size - 1)))
  const digest = digestOf(Buffer.from(`image ${index}`))
  const found = { verified: evidenceOf(repository, digest), failures: [], manifestReasons: [] }
  return {
    image: { registry: 'ghcr.io', name: `acme/${repository}`, digest },
    stored: encodeFindings(found, 'root public-good sha256:1'),
  }
}

function nameOf({ registry, name }: ImageFacts): string {
  return `${registry}/${name}`
}

function row(label: string, ...cells: readonly string[]): string {
  return [label.padEnd(46), ...cells.map((cell) => cell.padStart(11))].join('')
}

/** Microseconds of each call, for all images once; the first tenth warms up and is not counted. What `prepare` takes is not measured. */
function measure<T>(
  label: string,
  known: readonly Known[],
  prepare: (one: Known) => T,
  run: (input: T) => unknown,
): void {
  const tookUs = new Float64Array(known.length)
  for (const [index, one] of known.entries()) {
    const input = prepare(one)
    const from = performance.now()
    run(input)
    tookUs[index] = (performance.now() - from) * 1000
  }
  const counted = tookUs.subarray(Math.floor(known.length / 10)).toSorted()
  const at = (share: number): string => (counted[Math.floor(share * (counted.length - 1))] ?? 0).toFixed(1)
  const totalUs = tookUs.reduce((sum, one) => sum + one, 0)
  console.log(row(label, at(0.5), at(0.99), (totalUs / 1e6).toFixed(1)))
}

/** Matches, decodes and decides by `size` policies, and prints how long each takes. */
export function benchPolicy(size: number): void {
  const start = performance.now()
  const documents = [
    ...registryOf(size),
    ...Array.from({ length: REVOCATIONS }, (_, index) => revocationText(index)),
  ]
  const loaded = load(documents)
  const loadedMs = performance.now() - start
  const trust = { roots: new Map([['public-good', true]]), unusable: new Map(), keys: new Map() }
  const set = bindPolicies(loaded, trust)
  const boundMs = performance.now() - start - loadedMs
  const known = Array.from({ length: DIGESTS }, (_, index) => knownOf(index, size))
  const judge = ({ image, verified }: Judged): boolean => {
    const name = nameOf(image)
    const found = { verified, failures: [], missing: [], manifestReasons: [] }
    const rules = { policies: policiesFor(set, name), revocations: revocationsFor(set, name) }
    const { results } = decide({ ...rules, ...found, image, now: NOW, unmatched: set.unmatched })
    return results.every(({ verdict }) => verdict.kind === 'satisfied')
  }
  const decoded = ({ image, stored }: Known): Judged => {
    return { image, verified: decodeFindings(stored)?.verified ?? [] }
  }
  const [one] = known.map(decoded).filter((image) => !judge(image))
  if (one !== undefined) throw new Error(`${nameOf(one.image)} is not satisfied`)
  console.log(`\n${size} policies, ${REVOCATIONS} revocations, ${DIGESTS} digests, all satisfied`)
  console.log(`loaded in ${(loadedMs / 1000).toFixed(1)} s, bound to new trust in ${boundMs.toFixed(0)} ms`)
  console.log(row('microseconds', 'median', 'p99', 'all (s)'))
  const asStored = (image: Known): Known => image
  measure('match', known, asStored, ({ image }) => policiesFor(set, nameOf(image)))
  measure('decode stored findings', known, asStored, decoded)
  measure('match and decide', known, decoded, judge)
  measure('decode, match and decide', known, asStored, (image) => judge(decoded(image)))
}

if (import.meta.main) for (const size of [100, POLICIES]) benchPolicy(size)
