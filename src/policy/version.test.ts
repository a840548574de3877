import assert from 'node:assert/strict'
import test from 'node:test'
import { CASES, sourcesOf, WORDS } from '../testing/policy-fields.ts'
import { loadPolicies, type PolicySources } from './load.ts'

/** What is not proven by a signature, but done with the image: it ends nothing that was satisfied before. */
const HANDLING: ReadonlySet<string> = new Set([
  'spec.mode',
  'spec.rings{}',
  'spec.rollout.minDays',
  'spec.rollout.minPulls',
  'spec.rollout.minImages',
  'spec.rollout.maxWouldBlocks',
  'spec.stance',
  'spec.verifyBudget',
  'spec.images[].glob',
])

type Versions = { readonly set: string; readonly policy: string | undefined }

function versionsOf(sources: PolicySources): Versions | undefined {
  const load = loadPolicies(sources)
  return load.ok ? { set: load.set.version, policy: load.set.policies[0]?.version } : undefined
}

for (const [path, { before, after }] of [...CASES, ...WORDS]) {
  const [old, changed] = [before, after].map((document) => versionsOf(sourcesOf(document)))
  if (old === undefined || changed === undefined) continue
  const isDemanded = CASES.has(path) && !HANDLING.has(path)
  test(`${path} is part of the version of the set${isDemanded ? ' and of the policy' : ' only'}`, () => {
    assert.notEqual(changed.set, old.set)
    assert.equal(changed.policy !== old.policy, isDemanded)
  })
}

for (const field of ['unmatched', 'defaultMode'] as const) {
  test(`${field} is part of the version of the set`, () => {
    const { before } = WORDS.get('spec.runbook') ?? {}
    const { mode: _, ...spec } = Object(Object(before).spec)
    const sources = sourcesOf({ ...before, spec })
    const [a, b] = (['observe', 'enforce'] as const).map(
      (mode) => versionsOf({ ...sources, [field]: mode })?.set,
    )
    assert.ok(a !== undefined)
    assert.notEqual(a, b)
  })
}

test('one meaning has one version, in whatever order it is written', () => {
  const authorities = ['a', 'b', 'c'].map((name) => ({
    name,
    keyless: { identities: [{ issuer: 'https://issuer.example', subject: `${name}@x.example` }] },
  }))
  const versionOf = (names: readonly object[], require: object): string | undefined => {
    const images = [{ glob: '**' }]
    const metadata = { name: 'acme' }
    const document = { apiVersion: 'portcullis.dev/v1alpha1', kind: 'ImagePolicy', metadata }
    return versionsOf(sourcesOf({ ...document, spec: { images, authorities: names, require } }))?.policy
  }
  const version = versionOf(authorities, { all: ['a', { any: ['b', 'c'] }] })
  assert.ok(version !== undefined)
  assert.equal(versionOf(authorities.toReversed(), { all: [{ any: ['c', 'b'] }, 'a'] }), version)
  assert.notEqual(versionOf(authorities, { any: ['a', { all: ['b', 'c'] }] }), version)
})
