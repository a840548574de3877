import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { digestOf } from '../oci/digest.ts'
import type { EvidenceFailure, FailureCode, LogProof, PublicKey, Signer, Verified } from '../verify/types.ts'
import { decide, type DecisionInput } from './decide.ts'
import {
  attestationOf,
  held,
  identityOf,
  keyAuthority,
  keylessAuthority,
  NOTHING,
  policyOf,
} from '../testing/policies.ts'
import type { Authority, Cause, Policy, Reason, Verdict } from './types.ts'

const ISSUER = 'https://token.actions.githubusercontent.com'
const RELEASE = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1'
const CI = 'https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main'
const PROVENANCE = 'https://slsa.dev/provenance/v1'
const SBOM = 'https://spdx.dev/Document'

const source = {
  found: 'referrer',
  manifest: digestOf(Buffer.from('m')),
  blob: digestOf(Buffer.from('b')),
} as const
const log: LogProof = { trustRoot: 'public-good', logId: 'aa', logIndex: '1', promise: true, inclusion: true }
const { publicKey } = generateKeyPairSync('ed25519')
const pem = publicKey.export({ type: 'spki', format: 'pem' })
const KEY: PublicKey = { id: `sha256:${'1'.repeat(64)}`, key: createPublicKey(pem) }
const OTHER_KEY: Signer = { kind: 'key', key: `sha256:${'2'.repeat(64)}` }

function by(subject: string, changes: { issuer?: string; trustRoot?: string } = {}): Signer {
  const identity = { subject, subjectType: 'uri', issuer: changes.issuer ?? ISSUER, extensions: {} } as const
  const trustRoot = changes.trustRoot ?? 'public-good'
  return { kind: 'keyless', trustRoot, identity, byRetiringRoot: false }
}

function signed(signer: Signer, logs: readonly LogProof[] = [log]): Verified {
  return { source, signer, claim: { kind: 'signature' }, logs, times: [] }
}

function attested(signer: Signer, predicateType: string, logs: readonly LogProof[] = [log]): Verified {
  const claim = { kind: 'attestation', statement: { predicateType, predicate: {} } } as const
  return { source, signer, claim, logs, times: [] }
}

function failure(code: FailureCode, message: string = code): EvidenceFailure {
  return { source, code, message }
}

function keyless(name: string, subject: string, attestations: Authority['attestations'] = []): Authority {
  return keylessAuthority(name, [identityOf(ISSUER, subject)], { attestations })
}

function keyed(name: string, transparencyLog: 'required' | 'optional' = 'optional'): Authority {
  return keyAuthority(name, [held(KEY)], { signer: { transparencyLog } })
}

function verdictOf(input: Partial<DecisionInput>): Verdict {
  const [result] = decide({ ...NOTHING, ...input }).results
  assert.ok(result)
  return result.verdict
}

function reasonOf(verdict: Verdict): Reason {
  assert.equal(verdict.kind, 'violated')
  const [reason] = verdict.kind === 'violated' ? verdict.reasons : []
  assert.ok(reason)
  return reason
}

const ONE = policyOf([keyless('release', RELEASE)])
const PROVEN = policyOf([
  keyless('release', RELEASE, [attestationOf('provenance', PROVENANCE), attestationOf('sbom', SBOM)]),
])
const TIMEOUT: Cause = { dependency: 'registry', message: 'referrers timed out' }
const RELEASER = by(RELEASE)
const OWNER: Signer = { kind: 'key', key: KEY.id }

type Case = readonly [name: string, policy: Policy, verified: readonly Verified[], kind: Verdict['kind']]

const VERDICTS: readonly Case[] = [
  ['the right identity', ONE, [signed(RELEASER)], 'satisfied'],
  ['the right identity beside a wrong one', ONE, [signed(by(CI)), signed(RELEASER)], 'satisfied'],
  ['nothing', ONE, [], 'violated'],
  ['another subject', ONE, [signed(by(CI))], 'violated'],
  ['another issuer', ONE, [signed(by(RELEASE, { issuer: 'https://evil.example' }))], 'violated'],
  ['another trust root', ONE, [signed(by(RELEASE, { trustRoot: 'internal' }))], 'violated'],
  ['a key where an identity is expected', ONE, [signed(OWNER)], 'violated'],
  ['an attestation where a signature is expected', ONE, [attested(RELEASER, PROVENANCE)], 'violated'],
  ['the right key', policyOf([keyed('ops')]), [signed(OWNER, [])], 'satisfied'],
  ['another key', policyOf([keyed('ops')]), [signed(OTHER_KEY)], 'violated'],
  ['an identity where a key is expected', policyOf([keyed('ops')]), [signed(RELEASER)], 'violated'],
  ['the right key, not logged', policyOf([keyed('ops', 'required')]), [signed(OWNER, [])], 'violated'],
  ['the right key, logged', policyOf([keyed('ops', 'required')]), [signed(OWNER)], 'satisfied'],
  [
    'the right key, in a log of another trust root',
    policyOf([keyed('ops', 'required')]),
    [signed(OWNER, [{ ...log, trustRoot: 'internal' }])],
    'violated',
  ],
  [
    'the right key, in logs of both trust roots',
    policyOf([keyed('ops', 'required')]),
    [signed(OWNER, [{ ...log, trustRoot: 'internal' }, log])],
    'satisfied',
  ],
  [
    'any one authority',
    policyOf([keyed('ops'), keyless('release', RELEASE)]),
    [signed(RELEASER)],
    'satisfied',
  ],
  ['all attestations', PROVEN, [attested(RELEASER, PROVENANCE), attested(RELEASER, SBOM)], 'satisfied'],
  ['one attestation of two', PROVEN, [attested(RELEASER, PROVENANCE)], 'violated'],
  ['a signature where attestations are expected', PROVEN, [signed(RELEASER)], 'violated'],
  ['attestations by another', PROVEN, [attested(by(CI), PROVENANCE), attested(by(CI), SBOM)], 'violated'],
  [
    'one attestation by another',
    PROVEN,
    [attested(RELEASER, PROVENANCE), attested(by(CI), SBOM)],
    'violated',
  ],
  ['twice the same attestation', PROVEN, [attested(RELEASER, SBOM), attested(RELEASER, SBOM)], 'violated'],
]

for (const [name, matching, verified, kind] of VERDICTS) {
  const input = { policies: [matching], verified }
  test(`decide: ${name} is ${kind}`, () => assert.equal(verdictOf(input).kind, kind))

  test(`decide: ${name}, with something missing, is never violated`, () => {
    const expected = kind === 'satisfied' ? 'satisfied' : 'undetermined'
    assert.equal(verdictOf({ ...input, missing: [TIMEOUT] }).kind, expected)
  })

  test(`decide: ${name}, with broken evidence beside it, is still ${kind}`, () => {
    assert.equal(verdictOf({ ...input, failures: [failure('signature'), failure('malformed')] }).kind, kind)
  })

  test(`decide: ${name}, in a manifest that means two things, is violated`, () => {
    const malformed: Reason = { code: 'malformed', authority: undefined, found: 'x', expected: 'y' }
    const verdict = verdictOf({ ...input, manifestReasons: [malformed], missing: [TIMEOUT] })
    assert.deepEqual(verdict, { kind: 'violated', reasons: [malformed] })
  })
}

type ReasonCase = readonly [
  name: string,
  policy: Policy,
  verified: readonly Verified[],
  failures: readonly EvidenceFailure[],
  code: Reason['code'],
  found: RegExp,
]

const REASONS: readonly ReasonCase[] = [
  ['nothing', ONE, [], [], 'unsigned', /^no signature at all$/],
  ['nothing of attestations', PROVEN, [], [], 'unsigned', /^no signature or attestation at all$/],
  [
    'somebody else',
    ONE,
    [signed(by(CI))],
    [],
    'wrong-identity',
    /^a signature by https:.*ci\.yml@refs\/heads\/main \(issuer https:/,
  ],
  ['a key for an identity', ONE, [signed(OWNER)], [], 'wrong-identity', /^a signature by key sha256:1{16}$/],
  ['a key nobody knows', ONE, [], [failure('key')], 'wrong-identity', /a key that no policy names/],
  [
    'another key',
    policyOf([keyed('ops')]),
    [],
    [failure('certificate'), failure('key')],
    'wrong-key',
    /a key that no policy names/,
  ],
  [
    'an identity for a key',
    policyOf([keyed('ops')]),
    [signed(RELEASER)],
    [],
    'wrong-key',
    /by https:.*release\.yml/,
  ],
  [
    'no log entry',
    policyOf([keyed('ops', 'required')]),
    [signed(OWNER, [])],
    [],
    'not-logged',
    /without a log entry/,
  ],
  [
    'a log entry of another trust root',
    policyOf([keyed('ops', 'required')]),
    [signed(OWNER, [{ ...log, trustRoot: 'internal' }])],
    [],
    'not-logged',
    /^a signature by the right key in a log of trust root internal only$/,
  ],
  [
    'attestations only',
    ONE,
    [attested(RELEASER, SBOM)],
    [],
    'unsigned',
    /^only attestations of type https:\/\/spdx/,
  ],
  [
    'another type',
    PROVEN,
    [attested(RELEASER, SBOM)],
    [],
    'missing-attestation',
    /^only attestations of type https:\/\/spdx/,
  ],
  ['no type', PROVEN, [signed(RELEASER)], [], 'missing-attestation', /^a signature but no attestation$/],
  [
    'another type, and a broken one',
    PROVEN,
    [attested(RELEASER, SBOM)],
    [failure('subject', 'about another image')],
    'missing-attestation',
    /and evidence that does not verify \(about another image\)$/,
  ],
  [
    'a type by another',
    PROVEN,
    [attested(by(CI), PROVENANCE)],
    [],
    'wrong-identity',
    /^a provenance attestation by https:/,
  ],
  [
    'the nearest miss',
    ONE,
    [],
    [
      failure('malformed'),
      failure('log-entry', 'the log entry is of another signature'),
      failure('signature'),
    ],
    'invalid-evidence',
    /^evidence that does not verify: the log entry is of another signature$/,
  ],
]

for (const [name, matching, verified, failures, code, found] of REASONS) {
  test(`reason: ${name} is ${code}`, () => {
    const reason = reasonOf(verdictOf({ policies: [matching], verified, failures }))
    assert.equal(reason.code, code)
    assert.match(reason.found, found)
    assert.equal(reason.authority, matching.authorities[0]?.name)
  })
}

test('a reason says what was expected', () => {
  const { expected } = reasonOf(verdictOf({ policies: [ONE] }))
  assert.equal(expected, `one by ${RELEASE} (issuer ${ISSUER}) of trust root public-good`)
})

test('a reason of broken evidence says in which step it broke', () => {
  assert.equal(
    reasonOf(verdictOf({ policies: [ONE], failures: [failure('timestamp')] })).evidence,
    'timestamp',
  )
})

test('there is one reason for each authority', () => {
  const verdict = verdictOf({ policies: [policyOf([keyed('ops'), keyless('release', RELEASE)])] })
  assert.deepEqual(verdict.kind === 'violated' && verdict.reasons.map(({ authority }) => authority), [
    'ops',
    'release',
  ])
})

test('a satisfied verdict names every signer and all it rests on, and nothing else', () => {
  const proofs = [attested(RELEASER, PROVENANCE), attested(RELEASER, SBOM)]
  const verdict = verdictOf({
    policies: [PROVEN],
    verified: [signed(RELEASER), ...proofs, attested(by(CI), SBOM)],
  })
  assert.deepEqual(verdict, {
    kind: 'satisfied',
    by: [{ authority: 'release', signer: RELEASER, verified: proofs }],
  })
})

test('every policy judges for itself', () => {
  const policies = [ONE, policyOf([keyed('ops')], { name: 'other', mode: 'observe' })]
  const { results } = decide({ ...NOTHING, policies, verified: [signed(RELEASER)] })
  assert.deepEqual(
    results.map((result) => [result.policy, result.mode, result.verdict.kind]),
    [
      ['acme', 'enforce', 'satisfied'],
      ['other', 'observe', 'violated'],
    ],
  )
})

for (const unmatched of ['off', 'observe', 'enforce'] as const) {
  test(`an image without a policy violates the rule in mode ${unmatched}, whoever signed it`, () => {
    const { results } = decide({ ...NOTHING, unmatched, verified: [signed(RELEASER)], missing: [TIMEOUT] })
    assert.deepEqual(
      results.map((result) => [result.policy, result.mode, reasonOf(result.verdict).code]),
      [['unmatched', unmatched, 'no-policy']],
    )
  })
}
