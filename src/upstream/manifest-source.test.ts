import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digestOf, type Digest } from '../oci/digest.ts'
import { parseImageReference } from '../oci/reference.ts'
import { ManifestSource, type ManifestSourceDeps } from './manifest-source.ts'
import { UpstreamError, type RegistryClient, type UpstreamErrorCode } from './types.ts'

const { repository, reference } = parseImageReference('r.test/app:v1') ?? assert.fail()
const bytes = Buffer.from('{}')
const DIGEST = digestOf(bytes)

/** A source over a registry that answers as the test says, and a store in memory. */
function setUp() {
  const clock = { ms: 100_000 }
  const asked: string[] = []
  const dropped: string[] = []
  const upstream: { fails: UpstreamError | undefined } = { fails: undefined }
  const tags = new Map<string, { digest: Digest; checkedAt: Date }>()
  const answer = async <T>(method: string, value: T): Promise<T> => {
    asked.push(method)
    await Promise.resolve()
    if (upstream.fails !== undefined) throw upstream.fails
    return value
  }
  const client: Pick<RegistryClient, 'getManifest' | 'headTag'> = {
    getManifest: () => answer('GET', { digest: DIGEST, contentType: 'application/json', bytes }),
    headTag: () => answer('HEAD', DIGEST),
  }
  const state: ManifestSourceDeps['state'] = {
    getTag: (_, tag) => tags.get(tag),
    setTag: (_, tag, digest, checkedAt) => void tags.set(tag, { digest, checkedAt }),
    dropTag: (_, tag) => {
      dropped.push(tag)
      tags.delete(tag)
    },
    manifestType: () => undefined,
    addManifest: () => undefined,
  }
  const source = new ManifestSource({
    upstreams: { client: () => client as RegistryClient },
    state,
    content: { put: () => Promise.resolve() } as unknown as ManifestSourceDeps['content'],
    parse: () => Promise.resolve({ ok: false, message: 'is not looked at here' }),
    now: () => new Date(clock.ms),
    workLimit: () => new AbortController().signal,
    revalidationLimit: () => new AbortController().signal,
    memoryBytesMax: 1024 * 1024,
    tagTtlMs: 1_000,
    tagStaleIfErrorMs: 3_600_000,
  })
  const fail = (code: UpstreamErrorCode, seconds?: number) => {
    const details = seconds === undefined ? {} : { retryAfterSeconds: seconds }
    upstream.fails = new UpstreamError(code, code, details)
  }
  return { source, clock, asked, dropped, upstream, fail }
}

describe('a tag that nobody has seen', () => {
  const answers: [UpstreamErrorCode, number][] = [
    ['not-found', 5_000],
    ['unauthorized', 10_000],
    ['forbidden', 10_000],
    ['rate-limited', 10_000],
  ]
  for (const [code, forMs] of answers) {
    it(`${code}: asked for once in ${forMs} ms`, async () => {
      const { source, clock, asked, dropped, upstream, fail } = setUp()
      fail(code)
      await assert.rejects(source.resolve(repository, reference), { code })
      clock.ms += forMs - 1
      await assert.rejects(source.resolve(repository, reference), { code })
      assert.deepEqual(asked, ['GET'])
      upstream.fails = undefined
      clock.ms += 1
      assert.equal(await source.resolve(repository, reference), DIGEST)
      assert.deepEqual(dropped, [], 'nothing was known, so nothing is written')
    })
  }

  for (const code of ['unavailable', 'timeout', 'invalid'] as const) {
    it(`${code}: asked for each time`, async () => {
      const { source, asked, fail } = setUp()
      fail(code)
      await assert.rejects(source.resolve(repository, reference), { code })
      await assert.rejects(source.resolve(repository, reference), { code })
      assert.deepEqual(asked, ['GET', 'GET'])
    })
  }
})

describe('a tag that is known, past its time to live', () => {
  for (const code of ['not-found', 'unauthorized', 'forbidden'] as const) {
    it(`${code}: gone at once, written once, and not asked for again`, async () => {
      const { source, clock, asked, dropped, fail } = setUp()
      await source.resolve(repository, reference)
      clock.ms += 2_000
      fail(code)
      await assert.rejects(source.resolve(repository, reference), { code })
      await assert.rejects(source.resolve(repository, reference), { code })
      assert.deepEqual([asked, dropped], [['GET', 'HEAD'], ['v1']])
    })
  }

  it('rate-limited: the last digest, and nobody asks until the time that upstream named', async () => {
    const { source, clock, asked, fail } = setUp()
    await source.resolve(repository, reference)
    clock.ms += 2_000
    fail('rate-limited', 30)
    for (let second = 0; second < 30; second += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal(await source.resolve(repository, reference), DIGEST)
      clock.ms += 1_000
    }
    assert.deepEqual(asked, ['GET', 'HEAD'])
  })
})

it('a digest that is not there is asked for once, and says nothing about a tag', async () => {
  const { source, asked, upstream, fail } = setUp()
  fail('not-found')
  await assert.rejects(source.fetch(repository, DIGEST), { code: 'not-found' })
  await assert.rejects(source.fetch(repository, DIGEST), { code: 'not-found' })
  assert.deepEqual(asked, ['GET'])
  upstream.fails = undefined
  assert.equal(await source.resolve(repository, reference), DIGEST)
})
