import { digestOf } from '../oci/digest.ts'
import type { DecisionInput } from '../policy/decide.ts'
import type {
  Authority,
  IdentityMatcher,
  ImageFacts,
  Mode,
  Policy,
  Requirement,
  Verdict,
} from '../policy/types.ts'
import { verdictOf, type JudgedBy } from '../policy/verdict.ts'
import type { HeldKey, PublicKey, Signer, Verified } from '../verify/types.ts'

/** Policies as the loader makes them, where a test needs to say only what it is about. */

export const IMAGE: ImageFacts = {
  registry: 'ghcr.io',
  name: 'acme/app',
  digest: digestOf(Buffer.from('image')),
}
export const NOW = new Date('2026-07-01T00:00:00Z')
/** What a judgement is about and when, where that makes no difference. */
export const OCCASION = { image: IMAGE, now: NOW }

/** Nothing is known, nothing is missing, and no policy matches. */
export const NOTHING: DecisionInput = {
  ...OCCASION,
  policies: [],
  revocations: [],
  unmatched: 'observe',
  verified: [],
  failures: [],
  missing: [],
  manifestReasons: [],
}

const TRUST_ROOT = 'public-good'

export function held(key: PublicKey, changes: Partial<HeldKey> = {}): HeldKey {
  return { key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false, ...changes }
}

type KeySigner = Extract<Authority['signer'], { kind: 'key' }>

export function keyAuthority(
  name: string,
  keys: readonly HeldKey[],
  { signer, ...changes }: Partial<Omit<Authority, 'signer'>> & { signer?: Partial<KeySigner> } = {},
): Authority {
  const own: KeySigner = {
    kind: 'key',
    keys,
    keyReference: undefined,
    transparencyLog: 'optional',
    trustRoot: TRUST_ROOT,
    ...signer,
  }
  return authorityOf(name, own, changes)
}

export function keylessAuthority(
  name: string,
  identities: readonly IdentityMatcher[],
  { trustRoot = TRUST_ROOT, ...changes }: Partial<Authority> & { trustRoot?: string } = {},
): Authority {
  return authorityOf(name, { kind: 'keyless', trustRoot, identities }, changes)
}

export function staticAuthority(name: string, action: 'pass' | 'fail', message = 'because'): Authority {
  return authorityOf(name, { kind: 'static', action, message }, {})
}

function authorityOf(
  name: string,
  signer: Authority['signer'],
  changes: Partial<Omit<Authority, 'signer'>>,
): Authority {
  const demands = { attestations: [], checks: [], maxAgeMs: undefined }
  return { name, signer, ...demands, unavailable: undefined, ...changes }
}

export function identityOf(issuer: string, subject: string): IdentityMatcher {
  return {
    issuer: { kind: 'exact', value: issuer },
    subject: { kind: 'exact', value: subject },
    extensions: [],
  }
}

export function attestationOf(
  name: string,
  predicateType: string,
  changes: Partial<Authority['attestations'][number]> = {},
): Authority['attestations'][number] {
  return { name, predicateType, checks: [], maxAgeMs: undefined, ...changes }
}

/** Any one of the authorities is enough, unless `changes` say otherwise. */
export function policyOf(
  authorities: readonly Authority[],
  { mode = 'enforce', ...changes }: Partial<Policy> & { readonly mode?: Mode } = {},
): Policy {
  return {
    name: 'acme',
    version: 'sha256:1',
    mode,
    modes: { fallback: mode, byRing: new Map() },
    stance: 'closed',
    runbook: undefined,
    rollout: undefined,
    matches: () => true,
    authorities,
    requirement: { kind: 'any', of: authorities.map(({ name }) => ({ kind: 'authority', name })) },
    origin: 'acme.yaml:1',
    ...changes,
  }
}

const leaf = (name: string): Requirement => ({ kind: 'authority', name })

export function anyOf(...names: readonly string[]): Requirement {
  return { kind: 'any', of: names.map(leaf) }
}

export function allOf(...names: readonly string[]): Requirement {
  return { kind: 'all', of: names.map(leaf) }
}

export function atLeast(count: number, ...of: readonly string[]): Requirement {
  return { kind: 'threshold', count, of }
}

const PERSONAL_ISSUER = 'https://issuer.example'

/** Somebody with a certificate for an address. */
export function personal(name: string): Extract<Signer, { kind: 'keyless' }> {
  return {
    kind: 'keyless',
    trustRoot: TRUST_ROOT,
    identity: { subject: `${name}@x.example`, subjectType: 'email', issuer: PERSONAL_ISSUER, extensions: {} },
    byRetiringRoot: false,
  }
}

/** The authority that is satisfied by each of these people. */
export function personalAuthority(
  name: string,
  people: readonly string[] = [name],
  changes: Partial<Authority> & { trustRoot?: string } = {},
): Authority {
  const identities = people.map((one) => identityOf(PERSONAL_ISSUER, `${one}@x.example`))
  return keylessAuthority(name, identities, changes)
}

export const DAY_MS = 86_400_000

/** A signature, or an attestation with an empty predicate, that was made so many days ago, by each of these times. */
export function made(
  signer: Signer,
  daysAgo: readonly number[] = [],
  { predicateType, trustRoot = TRUST_ROOT }: { predicateType?: string; trustRoot?: string } = {},
): Verified {
  const claim =
    predicateType === undefined
      ? ({ kind: 'signature' } as const)
      : ({ kind: 'attestation', statement: { predicateType, predicate: {} } } as const)
  return {
    source: { found: 'referrer', manifest: IMAGE.digest, blob: IMAGE.digest },
    signer,
    claim,
    logs: [],
    times: daysAgo.map((days) => {
      const time = new Date(NOW.getTime() - days * DAY_MS)
      return { trustRoot, source: 'log', authority: 'aa', time }
    }),
  }
}

/** What a policy of these authorities says. */
export function judged(
  authorities: readonly Authority[],
  requirement: Requirement,
  input: Partial<JudgedBy> = {},
): Verdict {
  return verdictOf(policyOf(authorities, { requirement }), { ...NOTHING, ...input })
}
