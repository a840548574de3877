import assert from 'node:assert/strict'
import { createEpoch, type Epoch } from '../../epoch.ts'
import { trustedBy } from '../../evidence.ts'
import { encodeFindings, trustedText } from '../../findings.ts'
import { digestOf, matchesDigest, type Digest } from '../../oci/digest.ts'
import { imageName, repositoryName, type Repository } from '../../oci/reference.ts'
import { loadPolicies } from '../../policy/load.ts'
import { RELEASE } from '../../policy/testing/revocations.ts'
import type { Reason } from '../../policy/types.ts'
import type { StoredFindings, StoredSighting } from '../../store/types.ts'
import { loadPublicGoodRoot } from '../../trust/public-good.ts'
import { createTrustSnapshot } from '../../trust/snapshot.ts'
import type { Verified } from '../../verify/types.ts'
import { createFindingsReader, StoredJudge, type StoredJudgeDeps } from '../judge.ts'
import { replayPolicies } from '../replay.ts'
import type { ReplayReport } from '../report.ts'

/** Policies for the images of one repository, and what a proxy that pulled them has kept. */

export const NOW = new Date('2026-11-22T12:00:00Z')
const TRUST = createTrustSnapshot({ roots: [loadPublicGoodRoot()] })

/** Who may sign `ghcr.io/acme/**`. */
export function signedBy(subject: string, rest = ''): string {
  return `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: {name: acme}
spec:
  mode: enforce
  images: [{glob: ghcr.io/acme/**}]
${rest}
  authorities:
    - name: release
      keyless:
        identities: [{issuer: https://token.actions.githubusercontent.com, subject: ${JSON.stringify(subject)}}]
`
}

export const PROVENANCE = `${signedBy(RELEASE)}      attestations: [{name: provenance, predicateType: slsaprovenance1}]
`
export const REVOKED = (digest: Digest): string => `---
apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata: {name: incident-7}
spec: {reason: taken over, deny: [{digest: "${digest}"}]}
`

function epochOf(text: string): Epoch {
  const load = loadPolicies({
    files: [{ path: 'acme.yaml', text }],
    trustRoots: new Set(['public-good']),
    keySets: new Set(),
    rings: new Set(['default', 'canary']),
    defaultMode: 'observe',
    unmatched: 'enforce',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  assert.ok(load.ok, JSON.stringify(load))
  return createEpoch(load.set, TRUST)
}

const REPOSITORY: Repository = { registry: 'ghcr.io', name: 'acme/app' }
const EVERYTHING = trustedText(
  trustedBy(
    { policies: epochOf(signedBy(RELEASE)).matching(repositoryName(REPOSITORY)), revocations: [] },
    { trust: TRUST, lookUp: undefined },
  ),
)

export type World = {
  readonly seen: readonly Partial<StoredSighting>[]
  readonly found?: Readonly<Record<string, readonly Verified[]>>
  /** Whose manifests cannot be served, whoever signed them. */
  readonly guilty?: readonly string[]
  readonly trusted?: string
  /** Names of images whose manifests are kept. */
  readonly kept?: readonly string[]
  /** Index by child. */
  readonly parents?: Readonly<Record<string, Digest>>
}

export const digest = (name: string): Digest => digestOf(Buffer.from(name))
export const longDigest = (name: string): Digest => digestOf(Buffer.from(name), 'sha512')

function sightingOf(given: Partial<StoredSighting>): StoredSighting {
  const at = new Date('2026-11-20T12:00:00Z')
  const judged = { policy: 'acme', version: 'v', mode: 'enforce', verdict: 'satisfied', because: '' } as const
  const result = { ...judged, pulls: 1, from: at }
  return {
    repository: REPOSITORY,
    digest: digest('a'),
    ring: 'default',
    tags: ['v1'],
    pulls: 1,
    firstAt: at,
    lastAt: at,
    outcome: 'serve',
    isSigned: true,
    hasProvenance: false,
    results: [result],
    ...given,
  }
}

const FOREIGN_URL: Reason = { code: 'foreign-url', authority: undefined, found: 'one', expected: 'none' }

function depsOf({
  found = {},
  guilty = [],
  trusted = EVERYTHING,
  kept = [],
  parents = {},
}: World): StoredJudgeDeps {
  const findings = new Map<string, StoredFindings>(
    Object.entries(found).flatMap(([name, verified]) => {
      const manifestReasons = guilty.includes(name) ? [FOREIGN_URL] : []
      const stored = encodeFindings({ verified, failures: [], manifestReasons }, trusted)
      return [digest(name), longDigest(name)].map(
        (one) => [imageName(REPOSITORY, { kind: 'digest', digest: one }), stored] as const,
      )
    }),
  )
  return {
    findings: createFindingsReader({
      getFindings: (repository, one) => findings.get(imageName(repository, { kind: 'digest', digest: one })),
    }),
    state: {
      getEvidence: () => undefined,
      parentsOfManifest: (_, one) =>
        Object.entries(parents).flatMap(([child, index]) => (digest(child) === one ? index : [])),
    },
    runner: { verify: () => assert.fail('nothing is verified again') },
    readManifest: async (one) =>
      kept.map((name) => Buffer.from(name)).find((bytes) => matchesDigest(bytes, one)),
    now: () => NOW,
    workLimit: () => AbortSignal.abort(),
  }
}

export async function replayed(before: string, after: string, world: World): Promise<ReplayReport> {
  const deps = depsOf(world)
  return await replayPolicies({
    before: new StoredJudge(epochOf(before), deps),
    after: new StoredJudge(epochOf(after), deps),
    since: new Date(0),
    ring: undefined,
    rings: new Map(),
    state: { sightings: () => world.seen.map(sightingOf) },
  })
}

export function imagesIn(report: ReplayReport): Readonly<Record<string, number>> {
  const counts = [...report.counts].filter(([, { images }]) => images > 0)
  return Object.fromEntries(counts.map(([change, { images }]) => [change, images]))
}
