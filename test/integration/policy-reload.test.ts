import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { signImage } from '../../src/testing/evidence.ts'
import { createKms, type TestKms } from '../../src/testing/kms.ts'
import { managedSigner } from '../../src/testing/sigstore.ts'
import { gate, publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf, requestTo, type Reply } from './http.ts'

/** Policies that change while the proxy runs. */

const NEVER = new AbortController().signal
const APP = '/v2/enforced/app/manifests/v1'

async function start(context: TestContext, config: Record<string, unknown> = {}): Promise<Harness> {
  const harness = await startHarness({ config })
  context.after(async () => await harness[Symbol.asyncDispose]())
  return harness
}

async function admin(harness: Harness, method: string, target: string): Promise<Reply> {
  return await requestTo(harness.running().admin.address.port, { method, target })
}

/** As the timer does, until what changed has settled. */
async function poll(harness: Harness): Promise<void> {
  const { policies } = harness.running().deps
  for (let looks = 0; looks < 2; looks++) {
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    await policies.tick(NEVER)
  }
}

async function metric(harness: Harness, line: RegExp): Promise<string | undefined> {
  const text = (await admin(harness, 'GET', '/metrics')).body.toString()
  return text.split('\n').find((one) => line.test(one))
}

const acceptAnyone = (text: string): string => text.replaceAll('"mode":"enforce"', '"mode":"observe"')
const refuseOthers = (text: string): string => text.replaceAll('"mode":"observe"', '"mode":"enforce"')
const broken = (text: string): string => text.replace('"mode"', '"mood"')
const mended = (text: string): string => text.replace('"mood"', '"mode"')

suite('policies that change', () => {
  test('a refused image is served once a policy says so, and refused again once it does not', async (context) => {
    const harness = await start(context)
    publish(harness, { repository: 'enforced/app', image: uniqueImage('changing') })
    assert.equal((await harness.get(APP)).status, 403)
    await harness.editPolicies(acceptAnyone)
    assert.equal((await harness.get(APP)).status, 403, 'nobody has looked yet')
    await poll(harness)
    assert.equal((await harness.get(APP)).status, 200)
    await harness.editPolicies(refuseOthers)
    await poll(harness)
    assert.equal((await harness.get(APP)).status, 403)
  })

  test('a broken set leaves the old one running, and says so everywhere', async (context) => {
    const harness = await start(context)
    await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('good') })
    publish(harness, { repository: 'enforced/bad', image: uniqueImage('bad') })
    const before = JSON.parse((await admin(harness, 'GET', '/policies')).body.toString())
    await harness.editPolicies((text) => broken(acceptAnyone(text)))
    await poll(harness)
    assert.equal((await harness.get(APP)).status, 200)
    assert.equal((await harness.get('/v2/enforced/bad/manifests/v1')).status, 403)

    const after = JSON.parse((await admin(harness, 'GET', '/policies')).body.toString())
    assert.deepEqual([after.version, after.loadedAt], [before.version, before.loadedAt])
    assert.match(after.problem.problems.join(), /policies\/test\.yaml:\d+: spec\.mood: unknown key/)
    assert.match(
      (await admin(harness, 'GET', '/readyz')).body.toString(),
      /policies since .*those in force stay/,
    )
    assert.match((await metric(harness, /^portcullis_policy_trouble/)) ?? '', / 1$/)
    assert.match((await metric(harness, /^portcullis_policy_reloads_total{result="refused"}/)) ?? '', / 1$/)
    assert.equal((await admin(harness, 'POST', '/policies/reload')).status, 422)

    await harness.editPolicies(mended)
    assert.equal((await admin(harness, 'POST', '/policies/reload')).status, 200)
    assert.equal((await harness.get('/v2/enforced/bad/manifests/v1')).status, 200)
    assert.equal((await admin(harness, 'GET', '/readyz')).body.toString(), 'ready\n')
    assert.match((await metric(harness, /^portcullis_policy_trouble/)) ?? '', / 0$/)
    assert.match((await metric(harness, /^portcullis_policies{mode="enforce"}/)) ?? '', / 0$/)
  })

  test('what the admin listener shows, and takes from no web page', async (context) => {
    const harness = await start(context)
    const shown = JSON.parse((await admin(harness, 'GET', '/policies')).body.toString())
    assert.equal(shown.source.kind, 'directory')
    assert.equal(shown.problem, null)
    const signed = shown.policies.find(({ name }: { name: string }) => name === 'signed')
    assert.deepEqual([signed.mode, signed.modes], ['enforce', { fallback: 'enforce', byRing: {} }])
    assert.match(signed.origin, /^test\.yaml:\d+$/)
    const reply = await requestTo(harness.running().admin.address.port, {
      method: 'POST',
      target: '/policies/reload',
      headers: { origin: 'https://evil.example' },
    })
    assert.equal(reply.status, 403)
  })

  test('a judgement that began before the swap ends in what it began with; whoever asks next gets the new one', async (context) => {
    const harness = await start(context)
    publish(harness, { repository: 'enforced/app', image: uniqueImage('in flight') })
    const asked = gate()
    const held = gate()
    harness.registry.behave(async ({ url }) => {
      if (!url.includes('/referrers/')) return undefined
      asked.open()
      await held.opened
      return undefined
    })
    const first = harness.get(APP)
    await asked.opened
    await harness.editPolicies(acceptAnyone)
    await harness.running().deps.policies.reload(NEVER)
    const second = harness.get(APP)
    held.open()
    assert.equal((await first).status, 403)
    assert.equal((await second).status, 200)
  })

  test('under pulls that never stop, every answer is that of one set or the other', async (context) => {
    const harness = await start(context)
    publish(harness, { repository: 'enforced/app', image: uniqueImage('stream') })
    await publishSigned(harness, { repository: 'enforced/signed', image: uniqueImage('signed') })
    const statuses = new Map<string, Set<number>>()
    let isOver = false
    const pull = async (target: string): Promise<void> => {
      const seen = new Set<number>()
      statuses.set(target, seen)
      while (!isOver) {
        // oxlint-disable-next-line no-await-in-loop -- each client asks one after the other
        seen.add((await harness.get(target)).status)
      }
    }
    const clients = [APP, '/v2/enforced/signed/manifests/v1'].map(pull)
    for (let swap = 0; swap < 20; swap++) {
      // oxlint-disable-next-line no-await-in-loop -- one set after the other
      await harness.editPolicies(
        swap % 2 === 0 ? broken : (text) => mended(text).replace('\n---\n', '\n\n---\n'),
      )
      // oxlint-disable-next-line no-await-in-loop -- likewise
      assert.equal(await harness.running().deps.policies.reload(NEVER), swap % 2 === 1)
    }
    isOver = true
    await Promise.all(clients)
    // No set that ever came into force lets an unsigned image pass, or holds a signed one.
    assert.deepEqual(
      [...statuses.values()].map((seen) => [...seen]),
      [[403], [200]],
    )
  })

  for (const [name, text] of [
    ['emptied', ''],
    ['left with comments', '# nothing\n'],
  ] as const) {
    test(`a set that is ${name} is no set: the old one stays`, async (context) => {
      const harness = await start(context)
      publish(harness, { repository: 'enforced/app', image: uniqueImage(name) })
      await harness.editPolicies(() => text)
      assert.equal((await admin(harness, 'POST', '/policies/reload')).status, 422)
      assert.equal((await harness.get(APP)).status, 403)
    })
  }
})

suite('keys that come with new policies', () => {
  async function startWithKms(context: TestContext): Promise<{ harness: Harness; kms: TestKms }> {
    const kms = await createKms()
    const before = { ...process.env }
    Object.assign(process.env, kms.env)
    context.after(async () => {
      process.env = before
      await kms.close()
    })
    return { harness: await start(context), kms }
  }

  const byKey = (reference: string) => (text: string) =>
    text.replace(/"keyless":\{[^}]*?"identities":\[[^\]]*\]\}/, `"key":{"kms":"${reference}"}`)

  test('the key is had before the set counts', async (context) => {
    const { harness, kms } = await startWithKms(context)
    const key = kms.createKey()
    kms.setAlias('alias/release', key.keyId)
    const signer = managedSigner({ publicKey: key.publicKey, privateKey: key.publicKey }, (data) =>
      key.sign(data),
    )
    const place = publish(harness, { repository: 'enforced/app', image: uniqueImage('by kms') })
    await signImage(place, harness.sigstore, signer)
    assert.equal((await harness.get(APP)).status, 403)
    assert.equal(kms.requests.length, 0)
    await harness.editPolicies(byKey(`awskms://${kms.endpoint}/alias/release`))
    assert.equal((await admin(harness, 'POST', '/policies/reload')).status, 200)
    assert.equal((await harness.get(APP)).status, 200)
  })

  test('a key that cannot be had makes its policy undetermined, and its policy alone', async (context) => {
    const { harness, kms } = await startWithKms(context)
    publish(harness, { repository: 'enforced/app', image: uniqueImage('no kms') })
    publish(harness, { repository: 'attested/app', image: uniqueImage('not concerned') })
    await kms.fault('access-denied')
    await harness.editPolicies(byKey(`awskms://${kms.endpoint}/alias/release`))
    assert.equal((await admin(harness, 'POST', '/policies/reload')).status, 200)
    const held = await harness.get(APP)
    assert.equal(held.status, 503)
    assert.match(errorOf(held).message, /the key awskms:\/\/.* was never obtained/)
    assert.equal((await harness.get('/v2/attested/app/manifests/v1')).status, 403)
  })

  test('a reference to a host that nobody has allowed refuses the set', async (context) => {
    const harness = await start(context)
    await harness.editPolicies(byKey('awskms://evil.example/alias/release'))
    const reply = await admin(harness, 'POST', '/policies/reload')
    assert.equal(reply.status, 422)
    assert.match(reply.body.toString(), /add evil\.example to trust\.kms\.endpoints/)
  })
})
