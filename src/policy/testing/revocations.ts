import { digestOf } from '../../oci/digest.ts'
import type { Verified, VerifiedTime } from '../../verify/types.ts'
import type { Denial, Mode, Revocation, SigningWindow, StringMatcher } from '../types.ts'

/** An image, evidence about it as verification finds it, and revocations that hit it or not. */

export const DIGEST = digestOf(Buffer.from('image'))
export const IMAGE = { registry: 'ghcr.io', name: 'acme/app', digest: DIGEST }
export const ISSUER = 'https://token.actions.githubusercontent.com'
export const RELEASE = 'https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main'
export const FORK = 'https://github.com/mallory/app/.github/workflows/release.yml@refs/heads/main'
export const BUILDER = 'https://github.com/actions/runner/github-hosted'
export const OPS = `sha256:${'a'.repeat(64)}`
export const ALWAYS: SigningWindow = { from: undefined, until: undefined }
export const NIGHT: SigningWindow = {
  from: new Date('2026-11-17T20:00:00Z'),
  until: new Date('2026-11-18T06:00:00Z'),
}
/** The last moment before it, its first one, and the first after it. */
export const [BEFORE, DURING, AFTER] = [
  '2026-11-17T19:59:59.999Z',
  '2026-11-17T20:00:00Z',
  '2026-11-18T06:00:00Z',
]

type TimedDenial = Extract<Denial, { kind: 'key' | 'builder' }>

const source = {
  found: 'referrer',
  manifest: digestOf(Buffer.from('m')),
  blob: digestOf(Buffer.from('b')),
} as const

export function at(time: string, trustRoot = 'public-good'): VerifiedTime {
  return { trustRoot, source: 'log', authority: 'log', time: new Date(time) }
}

export function keyless(
  subject: string,
  times: readonly VerifiedTime[] = [],
  trustRoot = 'public-good',
): Verified {
  const extensions = { sourceRepositoryURI: subject.split('/').slice(0, 5).join('/') }
  const identity = { subject, subjectType: 'uri', issuer: ISSUER, extensions } as const
  const signer = { kind: 'keyless', trustRoot, identity, byRetiringRoot: false } as const
  return { source, signer, claim: { kind: 'signature' }, logs: [], times }
}

export function keyed(key: string, times: readonly VerifiedTime[] = []): Verified {
  return { source, signer: { kind: 'key', key }, claim: { kind: 'signature' }, logs: [], times }
}

export function provenance(one: Verified, predicateType: string, predicate: unknown): Verified {
  return { ...one, claim: { kind: 'attestation', statement: { predicateType, predicate } } }
}

export function builtBy(id: string, one = keyless(RELEASE)): Verified {
  return provenance(one, 'https://slsa.dev/provenance/v1', { runDetails: { builder: { id } } })
}

export function exact(value: string): StringMatcher {
  return { kind: 'exact', value }
}

export function identity(subject: string | undefined, during = ALWAYS, trustRoot = 'public-good'): Denial {
  const matcher = {
    issuer: undefined,
    subject: subject === undefined ? undefined : exact(subject),
    extensions: [],
  }
  return { kind: 'identity', trustRoot, identity: matcher, during }
}

export function key(id: string, during = ALWAYS): TimedDenial {
  return { kind: 'key', id, key: undefined, trustRoot: 'public-good', during }
}

export function builder(id: string, during = ALWAYS): TimedDenial {
  return { kind: 'builder', builder: exact(id), trustRoot: 'public-good', during }
}

export function revocation(
  denials: readonly Denial[],
  mode: Mode = 'enforce',
  ring?: readonly [string, Mode],
): Revocation {
  return {
    name: 'incident-7',
    version: 'sha256:1',
    mode: ring?.[1] ?? mode,
    modes: { fallback: mode, byRing: new Map(ring === undefined ? [] : [ring]) },
    reason: 'the release workflow was taken over',
    runbook: 'https://wiki.example/7',
    matches: () => true,
    denials,
    origin: 'incident-7.yaml:3',
  }
}
