import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { allOf, attestationOf, OCCASION, policyOf } from '../../testing/policies.ts'
import { createSigstore } from '../../testing/sigstore.ts'
import { mintUnlogged, policyFor, type UnloggedFixture, type UnloggedKind } from '../../testing/unlogged.ts'
import { SUBJECT } from '../../testing/verification.ts'
import type { Unlogged, Verified } from '../../verify/types.ts'
import { verifyCandidate } from '../../verify/verify.ts'
import { LOOK_UPS_MAX, logsNeeded, wantedEntries } from './wanted.ts'

const KINDS = ['key simple signing', 'key attestation'] as const

suite('what is worth a look-up', () => {
  let minted: UnloggedFixture
  let verified: readonly Verified[]
  let unlogged: readonly Unlogged[]

  before(async () => {
    minted = await mintUnlogged(await createSigstore())
    const input = { subject: SUBJECT, roots: [minted.root], keys: [minted.key], logsToAsk: ['test'] }
    const results = KINDS.map((kind) => verifyCandidate(minted.candidates[kind], input))
    verified = results.flatMap((result) => result.verified)
    unlogged = results.flatMap((result) => result.unlogged ?? [])
  })

  const policy = (kind: UnloggedKind) => policyFor(kind, minted)
  const claims = (policies: Parameters<typeof wantedEntries>[0], known = verified) =>
    wantedEntries(policies, known, unlogged, OCCASION).map(({ copies: [copy], policies: names }) => [
      copy?.claim.kind,
      names,
    ])

  test('only what the policy asks for', () => {
    assert.deepEqual(claims([policy('key simple signing')]), [['signature', ['key simple signing']]])
    assert.deepEqual(claims([policy('key attestation')]), [['attestation', ['key attestation']]])
  })

  test('two policies that ask for the same ask once', () => {
    const other = { ...policy('key simple signing'), name: 'other' }
    assert.deepEqual(claims([policy('key simple signing'), other]), [
      ['signature', ['key simple signing', 'other']],
    ])
  })

  test('nothing for a policy that is satisfied, off, unavailable, or asks for no log', () => {
    const [authority] = policy('key simple signing').authorities
    if (authority?.signer.kind !== 'key') assert.fail()
    const log = { trustRoot: 'test', logId: 'aa', logIndex: '1', promise: true, inclusion: true }
    const logged = verified.map((one) => ({ ...one, logs: [log] }))
    assert.deepEqual(claims([policy('key simple signing')], logged), [])
    assert.deepEqual(claims([{ ...policy('key simple signing'), mode: 'off' }]), [])
    const cause = { dependency: 'kms', message: 'no key' } as const
    const optional = { ...authority, signer: { ...authority.signer, transparencyLog: 'optional' } } as const
    for (const other of [{ ...authority, unavailable: cause }, optional])
      assert.deepEqual(claims([{ ...policy('key simple signing'), authorities: [other] }]), [])
  })

  test('nothing where one of several attestations is missing altogether', () => {
    const both = policy('key attestation')
    const [authority] = both.authorities
    if (authority === undefined) assert.fail()
    const attestations = [...authority.attestations, attestationOf('sbom', 'https://spdx.dev/Document')]
    assert.deepEqual(claims([{ ...both, authorities: [{ ...authority, attestations }] }]), [])
  })

  test('of authorities that are needed together only those that are not satisfied yet', () => {
    const [signature] = policy('key simple signing').authorities
    const [attestation] = policy('key attestation').authorities
    if (signature === undefined || attestation === undefined) assert.fail()
    const authorities = [signature, { ...attestation, name: 'proof' }]
    const both = policyOf(authorities, { requirement: allOf('release', 'proof') })
    assert.deepEqual(claims([both], []), [
      ['signature', ['acme']],
      ['attestation', ['acme']],
    ])
    const log = { trustRoot: 'test', logId: 'aa', logIndex: '1', promise: true, inclusion: true }
    const logged = verified
      .filter(({ claim }) => claim.kind === 'signature')
      .map((one) => ({ ...one, logs: [log] }))
    assert.deepEqual(claims([both], logged), [['attestation', ['acme']]])
  })

  test('nothing for what would fail a check all the same', () => {
    const one = policy('key simple signing')
    const check = () => ({ found: 'nothing', expected: 'something' })
    const authorities = one.authorities.map((authority) => ({
      ...authority,
      checks: [{ canonical: 'x', check }],
    }))
    assert.deepEqual(claims([{ ...one, authorities }]), [])
  })

  test('copies of one signature are one question, and there are at most eight of an image', () => {
    const [one] = unlogged
    if (one === undefined) assert.fail()
    const copies = Array.from({ length: 100 }, (_, index) => ({ ...one, candidate: String(index) }))
    const policies = [policy('key simple signing')]
    const [wanted, ...others] = wantedEntries(policies, verified, copies, OCCASION)
    assert.deepEqual(others, [])
    assert.deepEqual(wanted?.copies, copies)
    assert.deepEqual(wanted.query, one.query)
    const reworded = copies.map((copy, index) => {
      const word = String(index)
      return { ...copy, query: { ...copy.query, wording: word, proposals: [word, 'usual'] } }
    })
    const [asked] = wantedEntries(policies, verified, reworded, OCCASION)
    assert.deepEqual(
      asked?.query.proposals,
      ['usual', '0', '1', '2', '3', '4'],
      'what all propose comes first',
    )
    assert.ok(!asked.query.isExact, 'the index has the rest')
    const many = copies.map((copy, index) => ({ ...copy, query: { ...copy.query, id: String(index) } }))
    assert.equal(wantedEntries(policies, verified, many, OCCASION).length, LOOK_UPS_MAX)
  })

  test('a log is needed by certificates, and by keys where the policy says so', () => {
    assert.deepEqual([...logsNeeded([policy('key simple signing')])], ['test'])
    assert.deepEqual([...logsNeeded([policy('keyless attestation')])], ['test'])
    assert.deepEqual([...logsNeeded([{ ...policy('keyless attestation'), mode: 'off' }])], [])
  })
})
