import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import { createMerkleLog, type MerkleLog } from '../testing/merkle-log.ts'
import { createSigstore } from '../testing/sigstore.ts'
import { trustRootOf } from '../testing/verification.ts'
import { verifyInclusion } from './inclusion.ts'
import type { TrustRoot } from './types.ts'

type Logs = TrustRoot['material']['tlogs']
type Proof = NonNullable<TransparencyLogEntry['inclusionProof']>

suite('inclusion proof', () => {
  let logs: Logs
  let entry: TransparencyLogEntry
  const good: TransparencyLogEntry[] = []

  before(async () => {
    const sigstore = await createSigstore()
    logs = trustRootOf(sigstore.trustedRoot()).material.tlogs
    for (const log of [sigstore.logs.v1, sigstore.logs.v2])
      for (let index = 0; index < 40; index++)
        good.push(log.append(Buffer.from(`{"kind":"k","apiVersion":"v","n":${index}}`), sigstore.now()))
    entry = good[13] ?? assert.fail()
  })

  test('leads to the root, whatever the shape of the tree, for logs of both versions', () => {
    for (const one of good) verifyInclusion(one, logs)
  })

  const withProof = (edit: (proof: Proof) => Partial<Proof>): TransparencyLogEntry => {
    const proof = entry.inclusionProof ?? assert.fail()
    return { ...entry, inclusionProof: { ...proof, ...edit(proof) } }
  }
  const noteOf = (proof: Proof) => proof.checkpoint?.envelope ?? ''
  const withNote = (edit: (note: string) => string) =>
    withProof((proof) => ({ checkpoint: { envelope: edit(noteOf(proof)) } }))

  const refused: readonly (readonly [string, () => TransparencyLogEntry])[] = [
    ['none', () => ({ ...entry, inclusionProof: undefined })],
    ['another body', () => ({ ...entry, canonicalizedBody: Buffer.from('{}') })],
    ['another index', () => withProof(({ logIndex }) => ({ logIndex: String(Number(logIndex) + 1) }))],
    ['an index outside of the tree', () => withProof(() => ({ logIndex: '99999' }))],
    ['a hash too few', () => withProof(({ hashes }) => ({ hashes: hashes.slice(1) }))],
    ['a hash too many', () => withProof(({ hashes }) => ({ hashes: [...hashes, Buffer.alloc(32)] }))],
    ['no hashes', () => withProof(() => ({ hashes: [] }))],
    ['hashes in another order', () => withProof(({ hashes }) => ({ hashes: hashes.toReversed() }))],
    ['another size in the checkpoint', () => withNote((note) => note.replace(/\n\d+\n/, '\n1013\n'))],
    ['a size that is none', () => withNote((note) => note.replace(/\n\d+\n/, '\n0x10\n'))],
    ['no size', () => withNote((note) => note.replace(/\n\d+\n/, '\n\n'))],
    [
      'another root in the checkpoint',
      () => withNote((note) => note.replace(/\n[A-Za-z0-9+/]{43}=/, `\n${'A'.repeat(43)}=`)),
    ],
    ['no signature', () => withNote((note) => note.slice(0, note.indexOf('\u2014')))],
    ['a signature by another name', () => withNote((note) => note.replace('\u2014 ', '\u2014 evil.'))],
    ['a signature that is none', () => withNote((note) => note.replace(/(\u2014 \S+ )\S+/, '$1AAAAAAAA'))],
    ['no checkpoint', () => withProof(() => ({ checkpoint: undefined }))],
    ['a log that is not known', () => ({ ...entry, logId: { keyId: Buffer.alloc(32) } })],
  ]
  for (const [name, edited] of refused) {
    test(`${name}: refused`, () => {
      assert.throws(() => verifyInclusion(edited(), logs), { name: 'EvidenceError', code: 'log-entry' })
    })
  }

  test('a checkpoint of another log with the same name proves nothing', () => {
    const forger: MerkleLog = createMerkleLog('https://rekor.sigstore.test', 1)
    const forged = { ...forger.append(entry.canonicalizedBody, new Date()), logId: entry.logId }
    assert.throws(() => verifyInclusion(forged, logs), {
      code: 'log-entry',
      message: /not signed by the log/,
    })
  })
})
