import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, suite, test } from 'node:test'
import { createSigstore, managedSigner, type Sigstore } from '../testing/sigstore.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  IDENTITY,
  publicKeyOf,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { Candidate, TrustRoot } from './types.ts'
import { verifyCandidate } from './verify.ts'

suite('two roots of one name overlap', () => {
  let [older, newer]: Sigstore[] = []
  let both: Candidate
  let byOlder: Candidate

  const staying = (): TrustRoot => trustRootOf((newer ?? assert.fail()).trustedRoot(), 'ours')
  const retiring = (): TrustRoot => ({
    ...trustRootOf((older ?? assert.fail()).trustedRoot(), 'ours'),
    isRetiring: true,
  })

  before(async () => {
    older = await createSigstore()
    newer = await createSigstore()
    both = bundleCandidate(await newer.dsse(STATEMENT, newer.keyless(IDENTITY)))
    byOlder = bundleCandidate(await older.dsse(STATEMENT, older.keyless(IDENTITY)))
  })

  const verify = (candidate: Candidate, roots: readonly TrustRoot[]) =>
    verifyCandidate(candidate, { subject: SUBJECT, roots, keys: [] })
  const byRetiring = (candidate: Candidate, roots: readonly TrustRoot[]) => {
    const { signer } = assertAccepted(verify(candidate, roots))
    return signer.kind === 'keyless' && signer.byRetiringRoot
  }

  test('what only the old one proves is said to be so, in any order', () => {
    assert.equal(byRetiring(byOlder, [staying(), retiring()]), true)
    assert.equal(byRetiring(byOlder, [retiring(), staying()]), true)
  })

  test('what the new one proves counts as proven by it, whether or not the old one proves it too', () => {
    assert.equal(byRetiring(both, [retiring(), staying()]), false)
    assert.equal(byRetiring(both, [{ ...staying(), isRetiring: true }, staying()]), false)
  })

  test('the old one of another name is no predecessor', () => {
    const other = { ...staying(), name: 'theirs', isRetiring: true }
    const { verified } = verify(both, [staying(), other])
    assert.deepEqual(
      verified.map(({ signer }) => signer.kind === 'keyless' && [signer.trustRoot, signer.byRetiringRoot]),
      [
        ['ours', false],
        ['theirs', true],
      ],
    )
  })

  test('what neither proves is refused, with the reason that tells most', async () => {
    const stranger = await createSigstore()
    const bundle = bundleCandidate(await stranger.dsse(STATEMENT, stranger.keyless(IDENTITY)))
    assertRefused(verify(bundle, [staying(), retiring()]), 'log-entry', /that the trust root knows/)
  })

  test('a key: the log of either is a log of that name, and one that both know counts once', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const keys = [publicKeyOf(pair.publicKey)]
    const sigstore = older ?? assert.fail()
    const candidate = bundleCandidate(await sigstore.dsse(STATEMENT, managedSigner(pair)))
    const logsBy = (roots: readonly TrustRoot[]) =>
      assertAccepted(verifyCandidate(candidate, { subject: SUBJECT, roots, keys })).logs.map(
        ({ trustRoot, logId }) => [trustRoot, logId],
      )
    const log = ['ours', sigstore.logs.v1.logId.toString('hex')]
    assert.deepEqual(logsBy([staying(), retiring()]), [log])
    assert.deepEqual(logsBy([{ ...retiring(), isRetiring: false }, retiring()]), [log])
  })
})
