import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { load, problems } from './testing/loaded.ts'

const FILES = { '/etc/portcullis/a.pub': 'x' }

function bundle(changes: Readonly<Record<string, unknown>> = {}): string {
  const good = { image: 'ghcr.io/acme/policies:production', signers: [{ name: 'a', key: 'a.pub' }] }
  return JSON.stringify({ policies: { bundle: { ...good, ...changes } } })
}

suite('policies.bundle', () => {
  test('whose signatures count, and paths as the process sees them', async () => {
    const keyless = { issuer: 'https://issuer.example', subject: 'https://subject.example/a' }
    const signers = [
      { name: 'a', key: 'a.pub' },
      { name: 'b', kms: 'awskms:///alias/b' },
      { name: 'c', keyless },
    ]
    const { policies } = await load(bundle({ signers, threshold: 2, refreshEvery: '30s' }), {}, FILES)
    assert.deepEqual(policies.bundle, {
      image: 'ghcr.io/acme/policies:production',
      signers: [
        { name: 'a', key: '/etc/portcullis/a.pub' },
        { name: 'b', kms: 'awskms:///alias/b' },
        { name: 'c', keyless: { trustRoot: 'public-good', ...keyless } },
      ],
      threshold: 2,
      refreshEveryMs: 30_000,
    })
  })

  test('images by tag, by digest, of a registry with a port', async () => {
    const upstreams = { 'localhost:5000': {}, 'ghcr.io': {} }
    const images = ['ghcr.io/a/b:v1', `ghcr.io/a/b@sha256:${'a'.repeat(64)}`, 'localhost:5000/a:v1']
    for (const image of images) {
      const text = JSON.stringify({
        upstreams,
        defaultUpstream: null,
        policies: { bundle: { image, signers: [{ name: 'a', key: 'a.pub' }] } },
      })
      // oxlint-disable-next-line no-await-in-loop -- one after the other reads better when one fails
      assert.equal((await load(text, {}, FILES)).policies.bundle?.image, image)
    }
  })

  const wrong: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
    ['no registry', { image: 'acme/policies:v1' }, /expected registry\/repository:tag/],
    ['no tag', { image: 'ghcr.io/acme/policies' }, /expected registry\/repository:tag/],
    [
      'both tag and digest',
      { image: `ghcr.io/a/b:v1@sha256:${'a'.repeat(64)}` },
      /expected registry\/repository:tag/,
    ],
    ['a registry without an upstream', { image: 'example.com/a/b:v1' }, /found an image of example\.com/],
    ['nobody', { signers: [] }, /expected at least 1/],
    [
      'a signer without a key',
      { signers: [{ name: 'a' }] },
      /found none, expected exactly one of key, kms, keyless/,
    ],
    [
      'a signer with two',
      { signers: [{ name: 'a', key: 'a.pub', kms: 'awskms:///alias/a' }] },
      /found more than one, expected exactly one/,
    ],
    [
      'a key that is not there',
      { signers: [{ name: 'a', key: 'b.pub' }] },
      /signers\[0\]\.key: found no readable file/,
    ],
    ['a threshold beyond them', { threshold: 2 }, /found 2, expected at most the number of signers, 1/],
    ['an unknown key', { treshold: 1 }, /did you mean threshold\?/],
  ]
  for (const [name, changes, expected] of wrong) {
    test(`refused: ${name}`, async () => {
      assert.match((await problems(bundle(changes), {}, FILES)).join('\n'), expected)
    })
  }

  test('refused: a directory beside it', async () => {
    const document = JSON.parse(bundle())
    const text = JSON.stringify({ policies: { ...document.policies, directory: 'policies' } })
    assert.match((await problems(text, {}, FILES)).join('\n'), /found policies\.directory too/)
  })
})

test('policies.reloadEvery is a duration or off', async () => {
  assert.equal((await load(undefined)).policies.reloadEveryMs, 5000)
  assert.equal((await load('policies: { reloadEvery: 1m }')).policies.reloadEveryMs, 60_000)
  assert.equal((await load('policies: { reloadEvery: off }')).policies.reloadEveryMs, undefined)
  assert.match(
    (await problems('policies: { reloadEvery: never }')).join(),
    /policies\.reloadEvery: found "never"/,
  )
})
