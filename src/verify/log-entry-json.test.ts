import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { entryJson } from '../testing/rekor-routes.ts'
import { createSigstore, type Sigstore } from '../testing/sigstore.ts'
import { entryInLogEntry, readLogEntry } from './log-entry-json.ts'

type Json = Record<string, unknown> & {
  verification: Record<string, unknown> & { inclusionProof: Record<string, unknown> }
}

let sigstore: Sigstore
let uuid: string
let good: Json

before(async () => {
  sigstore = await createSigstore()
  const body = Buffer.from('{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}')
  const [pair] = Object.entries(entryJson(sigstore.logs.v1.append(body, sigstore.now())))
  if (pair === undefined) assert.fail('no entry')
  uuid = pair[0]
  good = pair[1] as Json
})

const malformed = { name: 'EvidenceError', code: 'malformed' }

suite('an entry in Rekor’s JSON', () => {
  test('is read, and written so that it is read the same again', () => {
    const entry = entryInLogEntry({ [uuid]: good })
    if (entry === undefined) assert.fail('no entry')
    const again = readLogEntry(entry.json)
    assert.deepEqual(again, entry)
    assert.equal(entry.uuid, uuid)
    assert.equal(entry.leafHash, uuid.slice(16))
    assert.deepEqual(JSON.parse(entry.json), { [uuid]: good })
  })

  test('what no verification needs is not kept', () => {
    const entry = entryInLogEntry({ [uuid]: { ...good, attestation: { data: 'AAAA' }, more: 1 } })
    assert.deepEqual(JSON.parse(entry?.json ?? ''), { [uuid]: good })
  })

  test('its leaf hash alone is a UUID too', () => {
    assert.equal(entryInLogEntry({ [uuid.slice(16)]: good }).leafHash, uuid.slice(16))
  })

  test('a proof without a checkpoint is dropped beside a promise, and nothing without one', () => {
    const { checkpoint: _, ...bare } = good.verification.inclusionProof
    const both = { ...good, verification: { ...good.verification, inclusionProof: bare } }
    assert.equal(entryInLogEntry({ [uuid]: both }).entry.inclusionProof, undefined)
    const proofOnly = { ...good, verification: { inclusionProof: bare } }
    assert.throws(() => entryInLogEntry({ [uuid]: proofOnly }), {
      ...malformed,
      message: /neither a promise/,
    })
  })

  const wrong: readonly (readonly [string, (json: Json) => void])[] = [
    ['no body', (json) => delete json['body']],
    ['a body that is not base64', (json) => (json['body'] = '{}')],
    ['a body in another way of base64', (json) => (json['body'] = `${String(json['body'])}\n`)],
    ['another body', (json) => (json['body'] = Buffer.from('{"a":1}').toString('base64'))],
    ['a negative index', (json) => (json['logIndex'] = -1)],
    ['an index as text', (json) => (json['logIndex'] = '1')],
    ['an index beyond what numbers hold', (json) => (json['logIndex'] = 2 ** 53)],
    ['a time with a fraction', (json) => (json['integratedTime'] = 1.5)],
    ['no log id', (json) => delete json['logID']],
    ['a log id in capitals', (json) => (json['logID'] = 'A'.repeat(64))],
    ['a promise that is not base64', (json) => (json.verification['signedEntryTimestamp'] = '*')],
    ['65 hashes', (json) => (json.verification.inclusionProof['hashes'] = Array(65).fill('a'.repeat(64)))],
    ['a short hash', (json) => (json.verification.inclusionProof['hashes'] = ['aa'])],
    ['a root hash that is none', (json) => (json.verification.inclusionProof['rootHash'] = 7)],
    [
      'a checkpoint of 17 KiB',
      (json) => (json.verification.inclusionProof['checkpoint'] = 'x'.repeat(17_000)),
    ],
    ['no tree size', (json) => delete json.verification.inclusionProof['treeSize']],
    ['no verification', (json) => delete (json as Record<string, unknown>)['verification']],
  ]
  for (const [name, edit] of wrong) {
    test(`${name}: refused`, () => {
      const json = structuredClone(good)
      edit(json)
      assert.throws(() => entryInLogEntry({ [uuid]: json }), malformed)
    })
  }

  for (const [name, text] of [
    ['no JSON', '{'],
    ['no object', '[]'],
    ['null', 'null'],
    ['nothing in it', '{}'],
    ['an entry that is none', '{"x":null}'],
    ['far too much', `{"${'x'.repeat(200_000)}":1}`],
  ] as const) {
    test(`${name}: refused`, () => assert.throws(() => readLogEntry(text), malformed))
  }
  for (const [name, of] of [
    ['of another entry', (text: string) => text.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a'))],
    ['too short', (text: string) => text.slice(1)],
    ['in capitals', (text: string) => text.toUpperCase()],
  ] as const) {
    test(`a UUID ${name}: refused`, () => {
      assert.throws(() => entryInLogEntry({ [of(uuid)]: good }), malformed)
    })
  }
})
