import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diffPolicies, type PolicySide } from './diff.ts'
import { GITHUB, keyless, loaded, policy, PROVENANCE, RELEASE, revocation } from './testing/documents.ts'
import { KEY, keyed, OTHER_KEY, type Json } from './testing/lint.ts'
import type { Mode } from './types.ts'

function sideOf(documents: readonly Json[], unmatched: Mode = 'observe'): PolicySide {
  const { entries, revocations, set } = loaded(documents, { unmatched })
  return { policies: entries, revocations, unmatched, version: set.version }
}

/** `policy: text (direction)`, with ids of keys as `KEY`. */
function diff(before: readonly Json[], after: readonly Json[], unmatched?: Mode): readonly string[] {
  const changes = diffPolicies(sideOf(before, unmatched), sideOf(after, unmatched))
  return changes.map(({ policy: name, text, direction }) =>
    `${name}: ${text} (${direction})`.replaceAll(/sha256:[0-9a-f]{16}\b/g, 'KEY'),
  )
}

const acme = (spec: Json = {}): Json => policy('acme', spec)
const signer = (spec: Json): Json => acme({ authorities: [{ ...keyless('release'), ...spec }] })
const attested = (more: Json): Json =>
  signer({ attestations: [{ name: 'provenance', predicateType: PROVENANCE, ...more }] })
const key = (more: Json): Json => acme({ authorities: [keyed('ops', KEY, more)] })
const slsa = (more: Json): Json => attested({ slsa: { sources: ['https://github.com/acme/app'], ...more } })
const OTHER = { issuer: GITHUB, subject: `${RELEASE}.1` }
const WHO = `${RELEASE} (issuer ${GITHUB})`
const SIGNED = `a signature by ${WHO} of trust root public-good [release]`
const three = [keyless('a'), keyless('b'), keyless('c')]
const shape = (require: Json): Json => acme({ authorities: three, require })
const leak = (deny: readonly Json[], spec: Json = {}): Json => revocation('leak', deny, spec)
const DIGEST = `sha256:${'ab'.repeat(32)}`

/** Of one change each: what is said forwards, and what backwards. */
const CHANGES: readonly {
  readonly name: string
  readonly a: Json
  readonly b: Json
  readonly ab: string
  readonly ba: string
}[] = [
  {
    name: 'mode',
    a: acme(),
    b: acme({ mode: 'enforce' }),
    ab: 'goes from observe to enforce (stricter)',
    ba: 'goes from enforce to observe (laxer)',
  },
  {
    name: 'mode of a ring',
    a: acme(),
    b: acme({ rings: { prod: 'enforce' } }),
    ab: 'ring prod goes from observe to enforce (stricter)',
    ba: 'ring prod goes from enforce to observe (laxer)',
  },
  {
    name: 'budget',
    a: acme(),
    b: acme({ verifyBudget: '800ms' }),
    ab: 'the budget for the verdict goes from none to 800 milliseconds (different)',
    ba: 'the budget for the verdict goes from 800 milliseconds to none (different)',
  },
  {
    name: 'stance',
    a: acme({ stance: 'open' }),
    b: acme({ stance: 'closed' }),
    ab: 'the stance goes from open to closed (stricter)',
    ba: 'the stance goes from closed to open (laxer)',
  },
  {
    name: 'runbook',
    a: acme(),
    b: acme({ runbook: 'https://wiki.example/a' }),
    ab: 'the runbook is https://wiki.example/a (different)',
    ba: 'has no runbook any more (different)',
  },
  {
    name: 'rollout criteria',
    a: acme({ rollout: { minDays: 7 } }),
    b: acme({ rollout: { minDays: 3 } }),
    ab: 'promotion needs 3 days, and no longer 7 (laxer)',
    ba: 'promotion needs 7 days, and no longer 3 (stricter)',
  },
  {
    name: 'rollout criteria at all',
    a: acme(),
    b: acme({ rollout: { minDays: 7 } }),
    ab: 'promotion to the next ring has criteria (stricter)',
    ba: 'promotion to the next ring has no criteria any more (laxer)',
  },
  {
    name: 'identities',
    a: acme(),
    b: acme({ authorities: [keyless('release', { issuer: GITHUB, subject: RELEASE }, OTHER)] }),
    ab: `authority release: identity ${RELEASE}.1 (issuer ${GITHUB}) may sign, too (laxer)`,
    ba: `authority release: identity ${RELEASE}.1 (issuer ${GITHUB}) may sign no longer (stricter)`,
  },
  {
    name: 'trust root',
    a: acme(),
    b: signer({ keyless: { trustRoot: 'internal', identities: [{ issuer: GITHUB, subject: RELEASE }] } }),
    ab: 'authority release: trust root internal vouches, and no longer public-good (different)',
    ba: 'authority release: trust root public-good vouches, and no longer internal (different)',
  },
  {
    name: 'an alternative',
    a: acme(),
    b: acme({ authorities: [keyless('release'), keyed('ops', KEY)] }),
    ab: 'is also satisfied by a signature with key KEY [ops] (laxer)',
    ba: 'is no longer satisfied by a signature with key KEY [ops] (stricter)',
  },
  {
    name: 'a requirement',
    a: shape({ threshold: 2 }),
    b: shape({ all: ['a', 'b', 'c'] }),
    ab: 'requires now "a; b; and c", and no longer "2 of 3 by different signers: a; b; c" (different)',
    ba: 'requires now "2 of 3 by different signers: a; b; c", and no longer "a; b; and c" (different)',
  },
  {
    name: 'the log',
    a: key({}),
    b: key({ transparencyLog: 'required' }),
    ab: 'authority ops: a signature must be in a transparency log (stricter)',
    ba: 'authority ops: a signature need no longer be in a transparency log (laxer)',
  },
  {
    name: 'the window of a key',
    a: key({}),
    b: key({ validUntil: '2027-01-01' }),
    ab: 'authority ops: key KEY counts for what was signed until 2027-01-01T00:00:00.000Z, and no longer at any time (stricter)',
    ba: 'authority ops: key KEY counts for what was signed at any time, and no longer until 2027-01-01T00:00:00.000Z (laxer)',
  },
  {
    name: 'the kind of a signer',
    a: acme(),
    b: acme({ authorities: [keyed('release', KEY)] }),
    ab: 'authority release: is of kind key and no longer keyless (different)',
    ba: 'authority release: is of kind keyless and no longer key (different)',
  },
  {
    name: 'static',
    a: acme({ authorities: [{ name: 'x', static: { action: 'fail' } }] }),
    b: acme({ authorities: [{ name: 'x', static: { action: 'pass' } }] }),
    ab: 'authority x: lets every image pass (laxer)',
    ba: 'authority x: lets no image pass (stricter)',
  },
  {
    name: 'an attestation instead of a signature',
    a: acme(),
    b: attested({}),
    ab: `authority release: asks for a provenance attestation (${PROVENANCE}), and no longer for a signature (different)`,
    ba: `authority release: asks for a signature, and no longer for a provenance attestation (${PROVENANCE}) (different)`,
  },
  {
    name: 'one attestation more',
    a: attested({}),
    b: signer({
      attestations: [
        { name: 'provenance', predicateType: PROVENANCE },
        { name: 'sbom', predicateType: 'spdx' },
      ],
    }),
    ab: 'authority release: asks for a sbom attestation (https://spdx.dev/Document), too (stricter)',
    ba: 'authority release: asks no longer for a sbom attestation (https://spdx.dev/Document) (laxer)',
  },
  {
    name: 'the age of an attestation',
    a: attested({}),
    b: attested({ maxAge: '30d' }),
    ab: 'authority release: the provenance attestation may be at most 30 days old, and no longer however old (stricter)',
    ba: 'authority release: the provenance attestation may be however old, and no longer at most 30 days old (laxer)',
  },
  {
    name: 'the age of a signature',
    a: signer({ maxAge: '7d' }),
    b: signer({ maxAge: '1d' }),
    ab: 'authority release: the signature may be at most 1 day old, and no longer at most 7 days old (stricter)',
    ba: 'authority release: the signature may be at most 7 days old, and no longer at most 1 day old (laxer)',
  },
  {
    name: 'one thing more to show',
    a: slsa({}),
    b: slsa({ sourceRefs: ['refs/heads/main'] }),
    ab: 'authority release: the provenance attestation must show source ref refs/heads/main (stricter)',
    ba: 'authority release: the provenance attestation need no longer show source ref refs/heads/main (laxer)',
  },
  {
    name: 'one value more to show it with',
    a: slsa({}),
    b: slsa({ sources: ['https://github.com/acme/app', 'https://github.com/acme/lib'] }),
    ab: 'authority release: the provenance attestation must show source https://github.com/acme/app or https://github.com/acme/lib, and no longer source https://github.com/acme/app (laxer)',
    ba: 'authority release: the provenance attestation must show source https://github.com/acme/app, and no longer source https://github.com/acme/app or https://github.com/acme/lib (stricter)',
  },
  {
    name: 'a higher level',
    a: slsa({ level: 2 }),
    b: slsa({ level: 3 }),
    ab: 'authority release: the provenance attestation must show SLSA Build level 3, and no longer SLSA Build level 2 (stricter)',
    ba: 'authority release: the provenance attestation must show SLSA Build level 2, and no longer SLSA Build level 3 (laxer)',
  },
]

for (const { name, a, b, ab, ba } of CHANGES) {
  test(`${name}, both ways`, () => {
    assert.deepEqual(diff([a], [b]), [`acme: ${ab}`])
    assert.deepEqual(diff([b], [a]), [`acme: ${ba}`])
  })
}

test('the same set in another order and other files differs in nothing', () => {
  assert.deepEqual(diff([acme(), policy('other')], [policy('other'), acme()]), [])
})

test('another key', () => {
  const other = acme({ authorities: [keyed('ops', OTHER_KEY)] })
  assert.deepEqual(diff([key({})], [other]), [
    'acme: authority ops: key KEY counts no longer (stricter)',
    'acme: authority ops: key KEY counts, too (laxer)',
  ])
})

test('a pattern in the place of an identity that it matches: nobody loses, somebody gains', () => {
  const subjectPattern = 'https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/.*'
  const wider = acme({ authorities: [keyless('release', { issuer: GITHUB, subjectPattern })] })
  assert.deepEqual(diff([acme()], [wider]), [
    `acme: authority release: identity ${WHO} is gone, and may still sign as /${subjectPattern}/ (issuer ${GITHUB}) (different)`,
    `acme: authority release: identity /${subjectPattern}/ (issuer ${GITHUB}) may sign, too (laxer)`,
  ])
})

test('a policy comes and goes: what that means depends on what is left', () => {
  const rest = policy('rest', { images: [{ glob: '**' }] })
  assert.deepEqual(diff([acme(), rest], [rest]), [
    `acme: is gone: ghcr.io/acme/** no longer needs ${SIGNED} (laxer)`,
  ])
  assert.deepEqual(diff([acme(), policy('b')], [policy('b')], 'enforce'), [
    'acme: is gone: images ghcr.io/acme/** are no longer matched by any policy: rule unmatched (enforce) applies (stricter)',
  ])
  assert.deepEqual(diff([policy('b')], [acme(), policy('b')]), [
    `acme: is new (observe): ghcr.io/acme/** needs ${SIGNED} (stricter)`,
  ])
  assert.deepEqual(diff([policy('b')], [acme(), policy('b')], 'enforce'), [
    `acme: is new (observe): ghcr.io/acme/** needs ${SIGNED}; images without a policy were refused before (laxer)`,
  ])
})

test('globs: what is matched no longer, or only in part', () => {
  const images = (...globs: readonly string[]): Json => acme({ images: globs.map((glob) => ({ glob })) })
  assert.deepEqual(diff([images('ghcr.io/a/**', 'ghcr.io/b/app')], [images('ghcr.io/a/*')], 'enforce'), [
    'acme: images ghcr.io/a/** (some of them, such as ghcr.io/a/team/app) and ghcr.io/b/app are no longer matched by any policy: rule unmatched (enforce) applies (stricter)',
    'acme: the glob ghcr.io/a/* is new, and its images were matched before (different)',
  ])
  assert.deepEqual(diff([images('ghcr.io/a/*')], [images('ghcr.io/a/**')]), [
    'acme: the glob ghcr.io/a/* is gone, and others match the same images (different)',
    'acme: images ghcr.io/a/** are matched, too (stricter)',
  ])
  assert.deepEqual(diff([images('ghcr.io/a/*')], [images('ghcr.io/a/*', 'quay.io/**')], 'enforce'), [
    'acme: images quay.io/** are matched, too; images without a policy were refused before (laxer)',
  ])
  const rest = policy('rest', { images: [{ glob: '**' }] })
  assert.deepEqual(diff([images('ghcr.io/a/*', 'ghcr.io/b/*'), rest], [images('ghcr.io/a/*'), rest]), [
    'acme: images ghcr.io/b/* are no longer matched; other policies still match them (laxer)',
  ])
})

test('revocations', () => {
  const [one, two] = [{ digest: DIGEST }, { builder: 'https://ci.example' }]
  assert.deepEqual(diff([acme()], [acme(), leak([one])]), [
    `leak: is a new revocation (enforce) for **: refuses the image ${DIGEST} (stricter)`,
  ])
  assert.deepEqual(diff([leak([one])], [leak([two], { mode: 'observe', reason: 'another' })]), [
    'leak: goes from enforce to observe (laxer)',
    `leak: the image ${DIGEST} is no longer refused (laxer)`,
    'leak: whatever was built by https://ci.example is refused, too (stricter)',
    'leak: the reason is "another" (different)',
  ])
  assert.deepEqual(diff([leak([one])], [policy('acme')]).slice(-1), [
    `leak: the revocation is gone: the image ${DIGEST} is no longer refused (laxer)`,
  ])
})

test('what has no words here is told all the same', () => {
  const side = sideOf([acme()])
  const [entry] = side.policies
  assert.ok(entry)
  const changed = { ...entry, policy: { ...entry.policy, version: 'sha256:other' } }
  assert.deepEqual(diffPolicies(side, { ...side, policies: [changed] }), [
    { policy: 'acme', direction: 'different', text: 'differs in a way that has no words here' },
  ])
  assert.equal(diffPolicies(side, { ...side, version: 'sha256:other' }).length, 1)
})
