import assert from 'node:assert/strict'
import { loadPolicies, type PolicyLoad, type PolicySources } from '../load.ts'
import { problemText } from '../problem.ts'

/** Policies and revocations written as data, for tests of what is said about them. */

export const GITHUB = 'https://token.actions.githubusercontent.com'
export const RELEASE = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1'
export const PROVENANCE = 'https://slsa.dev/provenance/v1'

type Json = Readonly<Record<string, unknown>>

export function keyless(name: string, ...identities: readonly Json[]): Json {
  const [only = { issuer: GITHUB, subject: RELEASE }, ...others] = identities
  return { name, keyless: { identities: [only, ...others] } }
}

/** A policy that no lint rule has anything to say of, changed by `spec`. */
export function policy(name: string, spec: Json = {}): Json {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name },
    spec: {
      mode: 'observe',
      images: [{ glob: `ghcr.io/${name}/**` }],
      authorities: [keyless('release')],
      ...spec,
    },
  }
}

export function revocation(name: string, deny: readonly Json[], spec: Json = {}): Json {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'Revocation',
    metadata: { name },
    spec: { mode: 'enforce', reason: 'the token leaked', deny, ...spec },
  }
}

/** Each document in a file of its name, as JSON, which is YAML: all of it is on line 1. */
export function loaded(
  documents: readonly Json[],
  changes: Partial<PolicySources> = {},
): Extract<PolicyLoad, { ok: true }> {
  const load = loadPolicies({
    files: documents.map((document, index) => ({ path: `${index}.yaml`, text: JSON.stringify(document) })),
    keyFiles: new Map(),
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(['release-keys']),
    rings: new Set(['default', 'canary', 'prod']),
    defaultMode: 'observe',
    unmatched: 'observe',
    defaultStance: 'closed',
    stanceLimit: undefined,
    ...changes,
  })
  assert.ok(load.ok, load.ok ? '' : load.problems.map(problemText).join('\n'))
  return load
}
