import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Command } from 'commander'
import { registerVerify } from '../../src/cli/verify.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { publish, publishSigned, uniqueImage, uniqueIndex } from './harness.ts'
import { requestTo } from './http.ts'
import { ASKERS, startRings, type Asker, type RingHarness } from './ring-harness.ts'

let harness: RingHarness

before(async () => {
  harness = await startRings()
})
after(async () => await harness[Symbol.asyncDispose]())

const EXPECTED = { default: '403', strict: '403', pilot: '200 warned', lab: '200', token: '200' } as const

describe('one image, ring by ring', () => {
  test('unsigned: refused, warned of, served, in whichever order and as often as it is asked for', async () => {
    const image = uniqueImage('ring by ring')
    publish(harness, { repository: 'enforced/rings', image })
    const targets = ['v1', image.digest].map((reference) => `/v2/enforced/rings/manifests/${reference}`)
    const rounds = [...Object.entries(ASKERS), ...Object.entries(ASKERS).toReversed()]
    for (const target of targets) {
      for (const [name, asker] of rounds) {
        // oxlint-disable-next-line no-await-in-loop -- one after another: what one is told must not reach the next
        assert.equal(
          await harness.pull(asker, target),
          EXPECTED[name as keyof typeof EXPECTED],
          `${name} ${target}`,
        )
      }
    }
  })

  test('its layers go where the image goes', async () => {
    const image = uniqueImage('layers')
    publish(harness, { repository: 'enforced/layers', image })
    const blobs = [digestOf(image.config), ...image.layers.map(({ digest }) => digest)]
    const statuses = async (asker: Asker) =>
      await Promise.all(
        blobs.map(async (blob) => (await harness.ask(asker, `/v2/enforced/layers/blobs/${blob}`)).status),
      )
    for (const asker of [ASKERS.lab, ASKERS.pilot]) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.match(await harness.pull(asker, '/v2/enforced/layers/manifests/v1'), /^200/)
    }
    for (const name of ['strict', 'lab', 'default', 'pilot', 'strict'] as const) {
      const status = EXPECTED[name].startsWith('200') ? 200 : 403
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.deepEqual(
        await statuses(ASKERS[name]),
        blobs.map(() => status),
        name,
      )
    }
  })

  test('what an index lists goes where the index goes, though no ring before may have had it', async () => {
    const index = uniqueIndex('index by ring')
    // Accepted by one policy; in two rings another one enforces that it is not content with.
    await publishSigned(harness, { repository: 'attested/index', image: index })
    for (const name of ['strict', 'pilot', 'lab', 'strict'] as const) {
      const targets = [index, ...index.images].map(({ digest }) => `/v2/attested/index/manifests/${digest}`)
      for (const target of targets) {
        // oxlint-disable-next-line no-await-in-loop -- one after another
        assert.equal(await harness.pull(ASKERS[name], target), EXPECTED[name], `${name} ${target}`)
      }
    }
  })

  test('what an index lists is covered where the index is let through, though another ring refuses the index', async () => {
    const index = uniqueIndex('covered by ring')
    await publishSigned(harness, { repository: 'mixed/rings', image: index })
    for (const [name, expected] of [
      ['strict', '403'],
      ['default', '200 warned'],
      ['strict', '403'],
      ['default', '200 warned'],
    ] as const) {
      for (const { digest } of [index, ...index.images]) {
        const target = `/v2/mixed/rings/manifests/${digest}`
        // oxlint-disable-next-line no-await-in-loop -- one after another
        assert.equal(await harness.pull(ASKERS[name], target), expected, `${name} ${target}`)
      }
    }
  })

  test('signed: served to all, and warned of to none', async () => {
    await publishSigned(harness, { repository: 'enforced/signed', image: uniqueImage('signed') })
    for (const asker of Object.values(ASKERS)) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal(await harness.pull(asker, '/v2/enforced/signed/manifests/v1'), '200')
    }
  })
})

describe('clients that fall back to another host', () => {
  const containerd = { 'user-agent': 'containerd/2.0.0' }

  test('a refusal document is of the ring that was refused, and in the way of no other', async () => {
    const image = uniqueImage('fallback')
    publish(harness, { repository: 'enforced/fallback', image })
    const target = '/v2/enforced/fallback/manifests'
    const refused = async (asker: Asker): Promise<string> => {
      const { status, headers } = await harness.ask(
        { ...asker, headers: { ...asker.headers, ...containerd } },
        `${target}/v1`,
        'HEAD',
      )
      assert.equal(status, 200)
      return headers['docker-content-digest'] ?? ''
    }
    const strict = await refused(ASKERS.strict)
    const other = await refused(ASKERS.default)
    assert.equal(await refused(ASKERS.lab), image.digest)
    assert.equal(await refused(ASKERS.strict), strict)
    assert.equal(new Set([strict, other, image.digest]).size, 3)
    for (const [asker, digest] of [
      [ASKERS.strict, strict],
      [ASKERS.default, other],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- two
      const { status, body } = await harness.ask(asker, `${target}/${digest}`)
      assert.equal(status, 403)
      assert.equal(digestOf(body), digest)
    }
    assert.deepEqual((await harness.ask(ASKERS.lab, `${target}/${image.digest}`)).body, image.manifest)
  })
})

describe('verify --ring', () => {
  const image = uniqueImage('verified')
  before(() => publish(harness, { repository: 'enforced/verified', image }))

  for (const [options, code, says] of [
    [[], 1, /would be refused/],
    [['--ring', 'strict'], 1, /policy signed \(enforce\): violated/],
    [['--ring', 'pilot'], 0, /policy signed \(observe\): violated/],
    [
      ['--ring', 'nobody'],
      3,
      /nobody is no ring of the configuration; expected one of strict, pilot, .*default/,
    ],
  ] as const) {
    test(options.length === 0 ? 'without it: the default ring' : options.join(' '), async () => {
      const told = { code: -1, text: '' }
      const write = (text: string) => void (told.text += text)
      const program = new Command().exitOverride()
      registerVerify(program, { stdout: write, stderr: write, env: {}, exit: (ended) => (told.code = ended) })
      const config = join(dirname(harness.dataDirectory), 'portcullis.yaml')
      const name = `${harness.registry.host}/enforced/verified:v1`
      await program.parseAsync(['verify', name, '--config', config, ...options], { from: 'user' })
      assert.equal(told.code, code, told.text)
      assert.match(told.text, says)
    })
  }
})

test('the ring of a pull is counted', async () => {
  const { port } = harness.running().admin.address
  const { body } = await requestTo(port, { method: 'GET', target: '/metrics' })
  for (const ring of ['default', 'strict', 'pilot', 'lab', 'token']) {
    assert.match(body.toString(), new RegExp(`^portcullis_pulls_total\\{.*ring="${ring}".*\\} \\d+$`, 'm'))
  }
})
