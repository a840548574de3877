import assert from 'node:assert/strict'
import { bundleToJSON, type Bundle } from '@sigstore/bundle'
import type { MintOptions, Sigstore } from '../../src/testing/sigstore.ts'
import { IDENTITY, STATEMENT } from '../../src/testing/verification.ts'
import { asIs, edited, type Case, type Entry } from './minted-case.ts'

function checkpoint({ inclusionProof }: Entry, edit: (note: string) => string): void {
  assert.ok(inclusionProof !== undefined)
  const before = inclusionProof.checkpoint.envelope
  inclusionProof.checkpoint.envelope = edit(before)
  assert.notEqual(inclusionProof.checkpoint.envelope, before)
}

function signatureOf({ content }: Bundle): Buffer {
  const signature = content.$case === 'dsseEnvelope' ? content.dsseEnvelope.signatures[0]?.sig : undefined
  return signature ?? assert.fail('no signature')
}

/** Cases about entries of transparency logs and their proofs, minted by `sigstore`. */
export function logCases(sigstore: Sigstore): readonly Case[] {
  const intoto = (mint: MintOptions = {}) => sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), mint)
  return [
    [
      'checkpoint-unrelated-signature',
      async () =>
        edited(await intoto(), (_json, entry) =>
          checkpoint(
            entry,
            (note) => `${note}\u2014 witness.test ${Buffer.alloc(68, 7).toString('base64')}\n`,
          ),
        ),
    ],
    [
      'negative-log-index_fail',
      async () => edited(await intoto(), (_json, entry) => (entry.logIndex = '-1')),
    ],
    [
      'negative-inclusion-proof-log-index_fail',
      async () => edited(await intoto(), (_json, entry) => (entry.inclusionProof!.logIndex = '-1')),
    ],
    [
      'duplicate-inclusion-proof_fail',
      async () =>
        edited(await intoto(), ({ verificationMaterial: { tlogEntries } }, entry) =>
          tlogEntries.push(structuredClone(entry)),
        ),
    ],
    [
      'duplicate-inclusion-other-index_fail',
      async () =>
        edited(await intoto({ log: 2 }), ({ verificationMaterial: { tlogEntries } }, entry) =>
          tlogEntries.push({ ...structuredClone(entry), logIndex: '1' }),
        ),
    ],
    [
      'intoto-log-entry-mismatch_fail',
      async () => {
        const other = bundleToJSON(await intoto()).verificationMaterial.tlogEntries
        return edited(
          await intoto(),
          ({ verificationMaterial }) => (verificationMaterial.tlogEntries = other),
        )
      },
    ],
    [
      'checkpoint-bad-keyhint_fail',
      async () =>
        edited(await intoto(), (_json, entry) =>
          checkpoint(entry, (note) => {
            const base64 = note.trimEnd().split(' ').at(-1) ?? ''
            const bytes = Buffer.from(base64, 'base64')
            bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0)
            return note.replace(base64, bytes.toString('base64'))
          }),
        ),
    ],
    [
      'checkpoint-only-unrelated-signature_fail',
      async () =>
        edited(await intoto(), (_json, entry) =>
          checkpoint(entry, (note) => note.replace(/\S+\n$/, `${Buffer.alloc(68, 7).toString('base64')}\n`)),
        ),
    ],
    ...proofCases(sigstore, 'rekor1'),
    ...proofCases(sigstore, 'rekor2'),
    ['rekor2-inclusion-proof-missing_fail', async () => asIs(await intoto({ log: 2, proof: false }))],
    ['no-log-entry_fail', async () => ({ bundle: bundleToJSON(await intoto({ log: 0, timestamp: true })) })],
    [
      'timestamp-cannot-stand-for-log-entry_fail',
      async () => {
        const bundle = await intoto({ log: 0 })
        const signedTimestamp = await sigstore.stamp(signatureOf(bundle))
        bundle.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp }] }
        return { bundle: bundleToJSON(bundle) }
      },
    ],
  ]
}

/** The proof of one entry, by kind of log. */
function proofCases(sigstore: Sigstore, version: 'rekor1' | 'rekor2'): readonly Case[] {
  const intoto = (mint: MintOptions) => sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), mint)
  const mint = { log: version === 'rekor1' ? 1 : 2, timestamp: true } as const
  const log = () => (version === 'rekor1' ? sigstore.logs.v1 : sigstore.logs.v2)
  return [
    [
      `${version}-checkpoint-wrong-roothash_fail`,
      async () =>
        edited(await intoto(mint), (_json, entry) =>
          checkpoint(entry, (note) => note.replace(/\n[^\n]{44}\n\n/, `\n${'A'.repeat(43)}=\n\n`)),
        ),
    ],
    [
      `${version}-checkpoint-of-another-tree-size_fail`,
      async () => {
        const bundle = await intoto(mint)
        for (let more = 0; more < 1000; more++) log().append(Buffer.from('{"kind":"x"}'), sigstore.now())
        return edited(bundle, (_json, entry) => checkpoint(entry, () => log().head().checkpoint))
      },
    ],
    [
      `${version}-checkpoint-of-the-other-log_fail`,
      async () => {
        const other = version === 'rekor1' ? sigstore.logs.v2 : sigstore.logs.v1
        return edited(await intoto(mint), (_json, entry) => checkpoint(entry, () => other.head().checkpoint))
      },
    ],
    [
      `${version}-inclusion-proof-wrong-index_fail`,
      async () =>
        edited(await intoto(mint), (_json, { inclusionProof }) => {
          inclusionProof!.logIndex = String(Number(inclusionProof!.logIndex) - 1)
        }),
    ],
    [
      `${version}-inclusion-proof-hash-missing_fail`,
      async () => edited(await intoto(mint), (_json, entry) => entry.inclusionProof!.hashes.pop()),
    ],
  ]
}
