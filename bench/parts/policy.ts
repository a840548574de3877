import assert from 'node:assert/strict'
import { createEpoch } from '../../src/epoch.ts'
import { decodeFindings, encodeFindings } from '../../src/findings.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { bindPolicies } from '../../src/policy/bind.ts'
import { decide, enforce } from '../../src/policy/decide.ts'
import { policiesFor, type IndexedPolicySet } from '../../src/policy/policy-index.ts'
import { refusalMessage } from '../../src/policy/refusal.ts'
import { inRing } from '../../src/policy/ring.ts'
import { keyless, loaded, policy, PROVENANCE } from '../../src/policy/testing/documents.ts'
import type { ImageFacts, Judgement } from '../../src/policy/types.ts'
import { createDecision } from '../../src/record/decision.ts'
import { createTrustSnapshot } from '../../src/trust/snapshot.ts'
import { trustRootOf } from '../../src/testing/verification.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import type { Signer, Verified } from '../../src/verify/types.ts'
import { MANAGED_KEY } from '../bundles.ts'
import type { Work } from '../measure.ts'
import { evidenceOf, loadOrganisation, NOW, repositoryOf } from '../organisation.ts'
import { checked, once, type Part } from './part.ts'

const APP = 'app-0003'
const IMAGE: ImageFacts = {
  registry: 'ghcr.io',
  name: `acme/${APP}`,
  digest: digestOf(Buffer.from('image')),
}
const TRUST = { roots: new Map([['public-good', true]]), unusable: new Map(), keys: new Map() }
const SUBJECT = {
  repository: IMAGE,
  digest: IMAGE.digest,
  ring: 'canary',
  policyVersion: 'p',
  trustVersion: 't',
}
const CANARY = { name: 'canary', stanceLimit: 'closed' } as const

/** Steps 7 and 8, and what a record and a refusal say of them. */
export function policyParts(): readonly Part[] {
  return [...matchParts(), ...decideParts(), ...outcomeParts(), ...findingParts(), ...epochParts()]
}

function matchParts(): readonly Part[] {
  const matched = (size: number, name: string, count: number): Part => ({
    name: `match/${size}-policies`,
    open() {
      const set = loadOrganisation(size, 0)
      return checked(
        () => policiesFor(set, name),
        (policies) => assert.equal(policies.length, count),
      )
    },
  })
  const nameOf = (index: number): string => `ghcr.io/acme/${repositoryOf(index)}`
  return [matched(1, nameOf(3), 1), matched(100, nameOf(3), 2), matched(10_000, nameOf(5003), 2)]
}

type Json = Readonly<Record<string, unknown>>

const RELEASE = {
  issuer: 'https://token.actions.githubusercontent.com',
  subject: `https://github.com/acme/${APP}/.github/workflows/release.yml@refs/heads/main`,
}
const BY_RELEASE = keyless('release', RELEASE)
const BY_KEY = {
  name: 'ops',
  key: { data: MANAGED_KEY.key.export({ type: 'spki', format: 'pem' }).toString() },
}
const SLSA = { builders: [{ pattern: String.raw`https://github\.com/actions/.*` }] }
const CEL =
  'statement.predicate.buildDefinition.externalParameters.workflow.repository.startsWith("https://github.com/acme/")'

function attested(demand: Json): Json {
  return { ...BY_RELEASE, attestations: [{ name: 'provenance', predicateType: PROVENANCE, ...demand }] }
}

function setOf(spec: Json): IndexedPolicySet {
  const document = policy('acme', { mode: 'enforce', images: [{ glob: 'ghcr.io/acme/**' }], ...spec })
  return bindPolicies(loaded([document]).set, TRUST)
}

function judgementOf(set: IndexedPolicySet, verified: readonly Verified[]): Judgement {
  const found = { verified, failures: [], missing: [], manifestReasons: [] }
  const { policies, revocations, unmatched } = set
  return decide({ policies, revocations, unmatched, image: IMAGE, now: NOW, ...found })
}

function signedWithKey(verified: readonly Verified[]): readonly Verified[] {
  const signer: Signer = { kind: 'key', key: MANAGED_KEY.id }
  return verified.map((one) => ({ ...one, signer }))
}

const evidence = once(() => evidenceOf(APP, IMAGE.digest))

function decideParts(): readonly Part[] {
  const decided = (name: string, spec: Json, verified: () => readonly Verified[] = evidence): Part => ({
    name: `decide/${name}`,
    open() {
      const [set, found] = [setOf(spec), verified()]
      return checked(
        () => judgementOf(set, found),
        ({ results }) =>
          assert.deepEqual(
            results.map(({ verdict }) => verdict.kind),
            ['satisfied'],
          ),
      )
    },
  })
  const both = () => [...evidence(), ...signedWithKey(evidence())]
  return [
    decided('key', { authorities: [BY_KEY] }, () => signedWithKey(evidence())),
    decided('keyless', { authorities: [BY_RELEASE] }),
    decided('quorum', { authorities: [BY_RELEASE, BY_KEY], require: { threshold: 2 } }, both),
    decided('attestation', { authorities: [attested({ slsa: SLSA })] }),
    decided('expression', { authorities: [attested({ expressions: [{ expression: CEL }] })] }),
    {
      name: 'decide/organisation',
      open() {
        const set = bindPolicies(loadOrganisation(100, 100), TRUST)
        const policies = policiesFor(set, `ghcr.io/acme/${APP}`)
        const found = evidence()
        return checked(
          () => judgementOf({ ...set, policies }, found),
          ({ results }) =>
            assert.equal(results.filter(({ verdict }) => verdict.kind === 'satisfied').length, 2),
        )
      },
    },
  ]
}

/** An image that nobody signed, by a policy that asks for provenance. */
const refused = once(() => {
  const judgement = judgementOf(setOf({ authorities: [attested({ slsa: SLSA })] }), [])
  const outcome = enforce(judgement)
  if (outcome.kind !== 'refuse') throw new Error(`expected a refusal, got ${outcome.kind}`)
  return { judgement, outcome }
})

function outcomeParts(): readonly Part[] {
  const served = (): Judgement => judgementOf(setOf({ authorities: [BY_RELEASE] }), evidence())
  const enforced = (name: string, judgementFor: () => Judgement, kind: string): Part => ({
    name: `enforce/${name}`,
    open() {
      const judgement = judgementFor()
      return checked(
        () => enforce(inRing(judgement, CANARY)),
        (outcome) => assert.equal(outcome.kind, kind),
      )
    },
  })
  return [
    enforced('serve-in-ring', served, 'serve'),
    enforced('refuse-in-ring', () => refused().judgement, 'refuse'),
    {
      name: 'refusal/sentence',
      open: () =>
        checked(
          () => refusalMessage(refused().outcome, '0123456789ab'),
          ({ line }) => assert.match(line, /^blocked by policy acme: no signature or attestation/),
        ),
    },
    {
      name: 'decision/create',
      open: () =>
        checked(
          () => createDecision(SUBJECT, refused().judgement, refused().outcome),
          ({ id }) => assert.equal(id.length, 12),
        ),
    },
  ]
}

function findingParts(): readonly Part[] {
  const trusted = 'root public-good sha256:1'
  const found = () => ({ verified: evidence(), failures: [], manifestReasons: [] })
  return [
    {
      name: 'findings/encode',
      open: () =>
        checked(
          () => encodeFindings(found(), trusted),
          (stored) => assert.equal(stored.trusted, trusted),
        ),
    },
    {
      name: 'findings/decode',
      open() {
        const stored = encodeFindings(found(), trusted)
        return checked(
          () => decodeFindings(stored),
          (read) => assert.equal(read?.verified.length, 2),
        )
      },
    },
  ]
}

function epochParts(): readonly Part[] {
  const created = (size: number): Part => ({
    name: `epoch/${size}-policies`,
    async open(): Promise<Work> {
      const set = loadOrganisation(size, size / 100)
      const root = trustRootOf((await createSigstore()).trustedRoot(), 'public-good')
      const snapshot = createTrustSnapshot({ roots: [root] })
      return checked(
        () => createEpoch(set, snapshot),
        ({ policies }) => assert.equal(policies.policies.length, size),
      )
    },
  })
  return [created(100), created(10_000)]
}
