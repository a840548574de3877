import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createEpoch, type Epoch } from '../epoch.ts'
import { trustedBy } from '../evidence.ts'
import { encodeFindings, trustedText } from '../findings.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { imageName, repositoryName, type Repository } from '../oci/reference.ts'
import { loadPolicies } from '../policy/load.ts'
import { builtBy, keyless, FORK, RELEASE } from '../policy/testing/revocations.ts'
import type { Reason } from '../policy/types.ts'
import type { StoredFindings, StoredSighting } from '../store/types.ts'
import { loadPublicGoodRoot } from '../trust/public-good.ts'
import { createTrustSnapshot } from '../trust/snapshot.ts'
import type { Verified } from '../verify/types.ts'
import { createFindingsReader, StoredJudge, type StoredJudgeDeps } from './judge.ts'
import { replayPolicies } from './replay.ts'
import type { ReplayReport } from './report.ts'
import { replayText } from './text.ts'

const NOW = new Date('2026-11-22T12:00:00Z')
const TRUST = createTrustSnapshot({ roots: [loadPublicGoodRoot()] })

/** Who may sign `ghcr.io/acme/**`. */
function signedBy(subject: string, rest = ''): string {
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

const PROVENANCE = `${signedBy(RELEASE)}      attestations: [{name: provenance, predicateType: slsaprovenance1}]
`
const REVOKED = (digest: Digest): string => `---
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

type World = {
  readonly seen: readonly Partial<StoredSighting>[]
  readonly found?: Readonly<Record<string, readonly Verified[]>>
  /** Whose manifests cannot be served, whoever signed them. */
  readonly guilty?: readonly string[]
  readonly trusted?: string
  /** Index by child. */
  readonly parents?: Readonly<Record<string, Digest>>
}

const digest = (name: string): Digest => digestOf(Buffer.from(name))

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

function depsOf({ found = {}, guilty = [], trusted = EVERYTHING, parents = {} }: World): StoredJudgeDeps {
  const findings = new Map<string, StoredFindings>(
    Object.entries(found).map(([name, verified]) => {
      const manifestReasons = guilty.includes(name) ? [FOREIGN_URL] : []
      return [
        imageName(REPOSITORY, { kind: 'digest', digest: digest(name) }),
        encodeFindings({ verified, failures: [], manifestReasons }, trusted),
      ]
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
    readManifest: async () => undefined,
    now: () => NOW,
    workLimit: () => AbortSignal.abort(),
  }
}

async function replayed(before: string, after: string, world: World): Promise<ReplayReport> {
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

function imagesIn(report: ReplayReport): Readonly<Record<string, number>> {
  const counts = [...report.counts].filter(([, { images }]) => images > 0)
  return Object.fromEntries(counts.map(([change, { images }]) => [change, images]))
}

describe('policies judged over what was pulled', () => {
  const signed = { a: [keyless(RELEASE)] }
  const CASES: readonly {
    name: string
    before: string
    after: string
    world: World
    counts: Readonly<Record<string, number>>
  }[] = [
    {
      name: 'the same policies change nothing',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE),
      world: { seen: [{}], found: signed },
      counts: { same: 1 },
    },
    {
      name: 'a signer who may sign no longer',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}], found: signed },
      counts: { refused: 1 },
    },
    {
      name: 'a signer who may sign from now on',
      before: signedBy(FORK),
      after: signedBy(RELEASE),
      world: { seen: [{}], found: signed },
      counts: { admitted: 1 },
    },
    {
      name: 'provenance that one image has and the other has not',
      before: signedBy(RELEASE),
      after: PROVENANCE,
      world: {
        seen: [{}, { digest: digest('b') }],
        found: { a: [keyless(RELEASE), builtBy('x')], b: [keyless(RELEASE)] },
      },
      counts: { refused: 1, same: 1 },
    },
    {
      name: 'a stricter mode in one ring',
      before: signedBy(FORK, '  rings: {canary: observe}'),
      after: signedBy(FORK),
      world: { seen: [{}, { ring: 'canary' }], found: signed },
      counts: { same: 1, refused: 1 },
    },
    {
      name: 'observe: a warning is no refusal',
      before: signedBy(RELEASE),
      after: signedBy(FORK, '  rings: {default: observe}'),
      world: { seen: [{}], found: signed },
      counts: { warned: 1 },
    },
    {
      name: 'a revocation',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('a')),
      world: { seen: [{}], found: signed },
      counts: { refused: 1 },
    },
    {
      name: 'a child that only its index covers fares as the index does',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{ digest: digest('child') }], found: signed, parents: { child: digest('a') } },
      counts: { refused: 1 },
    },
    {
      name: 'a child whose manifest cannot be served, under an index that is satisfied',
      before: signedBy(FORK),
      after: signedBy(RELEASE),
      world: {
        seen: [{ digest: digest('child') }],
        found: { ...signed, child: [] },
        guilty: ['child'],
        parents: { child: digest('a') },
      },
      counts: { same: 1 },
    },
    {
      name: 'an index that is refused itself covers nothing, not even what it satisfies',
      before: signedBy(FORK),
      after: `${signedBy(FORK)}---\n${signedBy(RELEASE).replace('acme}', 'beside}')}`,
      world: {
        seen: [{ digest: digest('child') }],
        found: { ...signed, child: [keyless(FORK)] },
        parents: { child: digest('a') },
      },
      counts: { refused: 1 },
    },
    {
      name: 'an index that only some ring is served covers in part',
      before: signedBy(FORK, '  rings: {canary: observe}'),
      after: `${signedBy(FORK, '  rings: {canary: observe}')}---\n${signedBy(RELEASE).replace('acme}', 'beside}')}`,
      world: {
        seen: [{ digest: digest('child') }],
        found: { ...signed, child: [keyless(FORK)] },
        parents: { child: digest('a') },
      },
      counts: { same: 1 },
    },
    {
      name: 'a revoked child under an index that is satisfied',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('child')),
      world: { seen: [{ digest: digest('child') }], found: signed, parents: { child: digest('a') } },
      counts: { refused: 1 },
    },
    {
      name: 'nothing kept: nothing is claimed',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}] },
      counts: { unknown: 1 },
    },
    {
      name: 'verified under other trust, and the evidence is gone',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}], found: signed, trusted: '' },
      counts: { unknown: 1 },
    },
    {
      name: 'unsigned under whatever trust',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}], found: { a: [] }, trusted: '' },
      counts: { otherwise: 1 },
    },
    {
      name: 'evidence, which no policy is asked about',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{ results: [] }] },
      counts: { same: 1 },
    },
  ]
  for (const { name, before, after, world, counts } of CASES) {
    it(name, async () => {
      assert.deepEqual(imagesIn(await replayed(before, after, world)), counts)
    })
  }

  it('is told in words: what, for whom, how often, and why', async () => {
    const seen = [
      { pulls: 400, ring: 'default', tags: ['v1.4.2'] },
      { pulls: 12, ring: 'canary', tags: ['v1.4.2'] },
      { pulls: 3, digest: digest('b'), tags: ['v1.4.3\u001b[2J'] },
    ]
    const report = await replayed(signedBy(RELEASE), PROVENANCE, {
      seen,
      found: { a: [keyless(RELEASE)], b: [keyless(RELEASE), builtBy('x')] },
    })
    const title = { since: new Date('2026-10-23'), before: 'now/', after: 'new/', seconds: 0.5 }
    const text = replayText(report, title, { now: NOW, isAll: false })
    assert.match(text, /^3 images in 415 pulls since 2026-10-23, judged again without the network in 0\.5 s/)
    assert.match(text, /2 images in 412 pulls would be refused, and are not now:/)
    assert.match(text, /412 pulls \(default 400, canary 12\), last 2 d ago, tags v1\.4\.2/)
    assert.match(
      text,
      /acme: release: found a signature but no attestation, expected a provenance attestation/,
    )
    assert.match(text, /1 images in 3 pulls: no change/)
    assert.ok(!text.includes('\u001b'))
  })
})
