import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { createTufRepository } from '../../testing/tuf-repository.ts'
import { readInitialRoot } from './initial-root.ts'

test('a root that its own keys signed, expired or not', async () => {
  const expires = { root: new Date('2020-01-01T00:00:00Z') }
  await using repository = await createTufRepository({ targets: {}, expires })
  const bytes = repository.root()
  assert.equal(readInitialRoot('ours', bytes).version, 1)
  assert.equal(readInitialRoot('ours', bytes, `sha256:${hash('sha256', bytes, 'hex')}`).bytes, bytes)
})

test('anything else: refused by name', async (t) => {
  await using repository = await createTufRepository({ targets: {} })
  const text = repository.root().toString()
  const other = `sha256:${'0'.repeat(64)}`
  const refused: readonly (readonly [string, string | Buffer, RegExp, string?])[] = [
    ['nothing', '', /Unexpected end of JSON input/],
    ['a web page', '<!doctype html>', /Unexpected token '<'/],
    ['JSON that is no object', '[]', /not a JSON object/],
    ['an object that is no metadata', '{}', /signed is not defined/],
    ['other metadata', repository.files.get('timestamp.json') ?? '', /expected 'root', got timestamp/],
    ['a trusted_root.json', '{"mediaType":"x","tlogs":[]}', /signed is not defined/],
    ['signed by nobody', text.replace(/"signatures":\[.*?\]/, '"signatures":[]'), /signed by 0\/1 keys/],
    ['changed after it was signed', text.replace('"version":1', '"version":2'), /signed by 0\/1 keys/],
    [
      'a version that is none',
      text.replace('"version":1', '"version":1.5'),
      /version is no positive integer/,
    ],
    ['too large', Buffer.alloc(512_001, 0x20), /more than 512000 bytes/],
    ['another digest', text, /its digest is sha256:[0-9a-f]{64}, expected sha256:0{64}/, other],
  ]
  for (const [name, bytes, message, digest] of refused) {
    await t.test(name, () => {
      assert.throws(() => readInitialRoot('ours', Buffer.from(bytes), digest), {
        name: 'TrustError',
        code: 'trust-root',
        message: new RegExp(`^initial root of ours: .*${message.source}`),
      })
    })
  }
})
