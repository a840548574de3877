import { parseRepository, type Repository } from '../../oci/reference.ts'
import { digestOf, type Digest } from '../../oci/digest.ts'
import { strictestOf } from '../../policy/ring.ts'
import type { Mode, Policy, PolicySet, RolloutCriteria } from '../../policy/types.ts'
import type { Sighting, SightedResult } from '../../store/types.ts'

export const RINGS = ['beta', 'prod', 'default']

export const CRITERIA: RolloutCriteria = { minDays: 7, minPulls: 3, minImages: 2, maxWouldBlocks: 0 }

type PolicyOptions = Partial<Policy> & { fallback?: Mode; byRing?: Readonly<Record<string, Mode>> }

/** A policy of which only what a rollout needs means anything. */
export function policyOf(
  name: string,
  { fallback = 'observe', byRing = {}, ...over }: PolicyOptions = {},
): Policy {
  const modes = { fallback, byRing: new Map(Object.entries(byRing)) }
  return {
    name,
    version: `sha256:${name}`,
    mode: strictestOf(modes),
    modes,
    stance: 'closed',
    runbook: undefined,
    rollout: CRITERIA,
    matches: () => true,
    authorities: [],
    requirement: { kind: 'any', of: [] },
    origin: `${name}.yaml:4`,
    ...over,
  }
}

export function setOf(...policies: readonly Policy[]): PolicySet {
  return { version: 'sha256:set', policies, revocations: [], unmatched: 'observe' }
}

function repositoryOf(name: string): Repository {
  const repository = parseRepository('ghcr.io', `acme/${name}`)
  if (repository === undefined) throw new TypeError(`no repository: ${name}`)
  return repository
}

function digestNamed(name: string): Digest {
  return digestOf(Buffer.from(name))
}

/** A pull that satisfies `policy`, which observes, unless told otherwise. */
export function sightingOf(
  name: string,
  policy: string,
  { result = {}, ...over }: Partial<Sighting> & { result?: Partial<SightedResult> } = {},
): Sighting {
  const satisfied = {
    version: `sha256:${policy}`,
    mode: 'observe',
    verdict: 'satisfied',
    because: '',
  } as const
  return {
    repository: repositoryOf(name),
    digest: digestNamed(name),
    ring: 'beta',
    tags: ['v1'],
    pulls: 1,
    at: new Date(0),
    outcome: 'serve',
    isSigned: true,
    hasProvenance: false,
    results: [{ policy, ...satisfied, ...result }],
    ...over,
  }
}

export const UNSIGNED: Partial<SightedResult> = {
  verdict: 'violated',
  because: 'unsigned: no signature at all, expected one by release',
}
