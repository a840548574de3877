import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey, Verified } from '../verify/types.ts'
import { atLeast, attestationOf, held, keyAuthority, NOTHING, policyOf } from '../testing/policies.ts'
import { decide } from './decide.ts'
import { demandedIn } from './fact-versions.ts'
import type { Authority, Requirement } from './types.ts'

const digest = digestOf(Buffer.from('x'))
const ROOT = 'public-good'
const MAY = new Date('2026-05-01T00:00:00Z')
const JUNE = new Date('2026-06-01T00:00:00Z')
const ENDED = { validUntil: MAY, isCurrent: false }
const [A, B] = [publicKey(), publicKey()]

function publicKey(): HeldKey['key'] {
  const { publicKey: key } = generateKeyPairSync('ed25519')
  const read = readPublicKey(key.export({ type: 'spki', format: 'pem' }))
  assert.ok('id' in read)
  return read
}

function keyed(
  keys: readonly HeldKey[],
  keyReference: string | undefined = 'keys:release',
  predicateTypes: readonly string[] = [],
): Authority {
  return keyAuthority(`${keyReference} ${predicateTypes.join()}`, keys, {
    signer: { keyReference },
    attestations: predicateTypes.map((predicateType) => attestationOf(predicateType, predicateType)),
  })
}

const itself = (key: HeldKey['key']): Authority => {
  const authority = keyed([held(key)])
  if (authority.signer.kind !== 'key') assert.fail()
  return { ...authority, name: 'itself', signer: { ...authority.signer, keyReference: undefined } }
}

function signed(key: HeldKey['key'], time?: string, predicateType?: string): Verified {
  const times =
    time === undefined
      ? []
      : [{ trustRoot: ROOT, source: 'log', authority: 'aa', time: new Date(time) } as const]
  const statement = { predicateType: predicateType ?? '', predicate: {} }
  return {
    source: { found: 'referrer', manifest: digest, blob: digest },
    signer: { kind: 'key', key: key.id },
    claim: predicateType === undefined ? { kind: 'signature' } : { kind: 'attestation', statement },
    logs: [],
    times,
  }
}

function judged(
  authorities: readonly Authority[],
  verified: readonly Verified[],
  { isOutage = false, ...changes }: { isOutage?: boolean; requirement?: Requirement } = {},
) {
  const policy = policyOf(authorities, { stance: 'last-verified', ...changes })
  const missing = isOutage ? [{ dependency: 'registry', message: 'down' } as const] : []
  const [result] = decide({ ...NOTHING, policies: [policy], verified, missing }).results
  assert.ok(result?.factVersions)
  return { kind: result.verdict.kind, versions: result.factVersions }
}

/** Whether the image is still one that satisfied the policy, when nobody can say any more. */
function isRemembered(
  then: readonly Authority[],
  verified: readonly Verified[],
  now: readonly Authority[],
): boolean {
  const before = judged(then, verified)
  assert.equal(before.kind, 'satisfied')
  const after = judged(now, [], { isOutage: true })
  assert.equal(after.kind, 'undetermined')
  return after.versions.some((version) => before.versions.includes(version))
}

type Case = readonly [
  name: string,
  then: readonly Authority[],
  verified: readonly Verified[],
  now: readonly Authority[],
  remembered: boolean,
]

const IN_APRIL = '2026-04-01T00:00:00Z'
const BOTH = keyed([held(A), held(B)], 'keys:release', ['x', 'y'])

const CASES: readonly Case[] = [
  ['nothing changed', [keyed([held(A)])], [signed(A)], [keyed([held(A)])], true],
  ['another key joined', [keyed([held(A)])], [signed(A)], [keyed([held(B), held(A)])], true],
  ['its key is gone, another one there', [keyed([held(A)])], [signed(A)], [keyed([held(B)])], false],
  [
    'its key ended, and no time was proven',
    [keyed([held(A)])],
    [signed(A)],
    [keyed([held(A, ENDED)])],
    false,
  ],
  [
    'its key ended, with a time inside the window that it always had',
    [keyed([held(A, { validUntil: MAY })])],
    [signed(A, IN_APRIL)],
    [keyed([held(A, ENDED)])],
    true,
  ],
  [
    'its key had ended, and the times cannot be verified now',
    [keyed([held(A, ENDED)])],
    [signed(A, IN_APRIL)],
    [keyed([held(A, ENDED)])],
    true,
  ],
  [
    'its key ended, by a window that was moved',
    [keyed([held(A, { validUntil: JUNE })])],
    [signed(A, IN_APRIL)],
    [keyed([held(A, ENDED)])],
    false,
  ],
  [
    'its key has another scheme now',
    [keyed([held(A)])],
    [signed(A)],
    [keyed([held({ ...A, scheme: { hash: 'sha512' } })])],
    false,
  ],
  [
    'its key is now that of another reference',
    [keyed([held(A)]), keyed([held(B)], 'keys:other')],
    [signed(A)],
    [keyed([held(B)]), keyed([held(A)], 'keys:other')],
    false,
  ],
  [
    'one of the two keys that satisfied it together is gone',
    [BOTH],
    [signed(A, undefined, 'x'), signed(B, undefined, 'y')],
    [keyed([held(A)], 'keys:release', ['x', 'y'])],
    false,
  ],
  [
    'one of the two keys that satisfied it each is gone',
    [keyed([held(A), held(B)])],
    [signed(A), signed(B)],
    [keyed([held(B)])],
    true,
  ],
  ['a key of the policy itself', [itself(A)], [signed(A)], [itself(A)], true],
  [
    'a key of the policy itself, beside a reference whose key is gone',
    [itself(A), keyed([held(B)])],
    [signed(A)],
    [itself(A), keyed([])],
    true,
  ],
  [
    'a reference whose key is gone, beside a key of the policy itself',
    [itself(A), keyed([held(B)])],
    [signed(B)],
    [itself(A), keyed([])],
    false,
  ],
]

for (const [name, then, verified, now, remembered] of CASES) {
  test(`remembered: ${name}: ${remembered ? 'still' : 'not any more'}`, () => {
    assert.equal(isRemembered(then, verified, now), remembered)
  })
}

test('a policy without references is remembered by its version; what a violation ends is always that', () => {
  assert.deepEqual(judged([itself(A)], [signed(A)]).versions, ['sha256:1'])
  for (const version of judged([itself(A), keyed([held(B, { validUntil: MAY })])], []).versions)
    assert.equal(demandedIn(version), 'sha256:1')
})

test('a key that is gone satisfies nobody, so nothing is remembered by it, whatever else cannot be had', () => {
  const { kind, versions } = judged([keyed([])], [], { isOutage: true })
  assert.deepEqual([kind, versions], ['violated', []])
})

/** Of a quorum of a key of the policy itself and of one that it refers to: what is remembered ends with any change. */
const QUORUM: readonly (readonly [name: string, now: readonly HeldKey[], remembered: boolean])[] = [
  ['nothing changed', [held(A)], true],
  ['another key joined', [held(A), held(B)], false],
  ['another key is there', [held(B)], false],
  ['its window was moved', [held(A, { validUntil: JUNE })], false],
  ['it does not count by itself any more', [held(A, { isCurrent: false })], false],
]

for (const [name, now, remembered] of QUORUM) {
  test(`remembered: a quorum, ${name}: ${remembered ? 'still' : 'not any more'}`, () => {
    const own = itself(B)
    const requirement = atLeast(2, 'itself', keyed([]).name)
    const before = judged([own, keyed([held(A)])], [signed(A), signed(B)], { requirement })
    const after = judged([own, keyed(now)], [], { requirement, isOutage: true })
    assert.deepEqual([before.kind, after.kind], ['satisfied', 'undetermined'])
    assert.equal(
      after.versions.some((version) => before.versions.includes(version)),
      remembered,
    )
    for (const version of before.versions) assert.equal(demandedIn(version), 'sha256:1')
  })
}
