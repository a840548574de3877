import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import * as nodeFiles from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createBlobService, type BlobAnswer, type BlobMode, type BlobService } from './blob.ts'
import type { BlobLimits } from './blob/limits.ts'
import type { ByteRange } from './http/range.ts'
import { digestOf, type Digest } from './oci/digest.ts'
import { parseRepository, type Repository } from './oci/reference.ts'
import type { Files } from './store/content-files.ts'
import { openContentStore, type DirectoryContentStore } from './store/content.ts'
import { openDatabase } from './store/database.ts'
import { UpstreamError, type RegistryClient, type UpstreamBlob } from './upstream/types.ts'

const repository: Repository = parseRepository('ghcr.io', 'a/b')!
const CHUNK = 64 * 1024

/** Bytes that are no JSON, each different from its neighbours. */
function layer(size: number): { bytes: Buffer; digest: Digest } {
  const bytes = Buffer.alloc(size)
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + (index >> 8)) & 0xff
  return { bytes, digest: digestOf(bytes) }
}

function pieces(bytes: Buffer, size = CHUNK): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

type Upstream = { client: RegistryClient; offsets: number[]; heads: number }

/** An upstream whose GETs are answered by `answer`, in order of the request. */
function upstreamOf(
  answer: (offset: number, attempt: number) => UpstreamBlob,
  overrides: Partial<RegistryClient> = {},
): Upstream {
  const upstream: Upstream = { offsets: [], heads: 0, client: undefined as unknown as RegistryClient }
  const unused = () => Promise.reject(new Error('not expected to be called'))
  upstream.client = {
    getManifest: unused,
    headTag: unused,
    locateBlob: unused,
    getReferrers: unused,
    getTags: unused,
    close: () => Promise.resolve(),
    async headBlob() {
      upstream.heads += 1
      const { size, body } = answer(0, upstream.offsets.length)
      body.destroy()
      return { size: size ?? 0 }
    },
    async getBlob(_repository, _digest, offset) {
      upstream.offsets.push(offset)
      return answer(offset, upstream.offsets.length - 1)
    },
    ...overrides,
  }
  return upstream
}

const serving = (bytes: Buffer, size: number | undefined = bytes.length) =>
  upstreamOf((offset) => ({ size, offset, body: Readable.from(pieces(bytes.subarray(offset))) }))

/** An upstream whose single body the test feeds by hand. */
function fed(size: number | undefined): Upstream & { body: PassThrough } {
  const body = new PassThrough({ highWaterMark: 1 })
  return Object.assign(
    upstreamOf(() => ({ size, offset: 0, body })),
    { body },
  )
}

type Timer = { callback: () => void; delayMs: number; cancelled: boolean }

type Setup = { limits?: Partial<BlobLimits>; files?: Files }

type Opened = {
  service: BlobService
  store: DirectoryContentStore
  events: string[]
  timers: Timer[]
  incoming(): Promise<string[]>
}

async function openService(t: TestContext, { limits = {}, files }: Setup = {}): Promise<Opened> {
  const directory = await mkdtemp(join(tmpdir(), 'blob-'))
  const store = await openContentStore({
    directory,
    bytesMax: 1024 ** 3,
    database: openDatabase(':memory:'),
    now: () => new Date(0),
    onError: () => undefined,
    ...(files === undefined ? {} : { files }),
  })
  const events: string[] = []
  const timers: Timer[] = []
  const service = createBlobService({
    content: store,
    limits,
    onEvent: ({ kind }) => events.push(kind),
    schedule(callback, delayMs) {
      const timer = { callback, delayMs, cancelled: false }
      timers.push(timer)
      return () => void (timer.cancelled = true)
    },
  })
  t.after(async () => {
    await service.close()
    await store.close()
    await rm(directory, { recursive: true, force: true })
  })
  return { service, store, events, timers, incoming: () => readdir(join(directory, 'incoming')) }
}

type Ask = { range?: ByteRange; mode?: BlobMode; signal?: AbortSignal; repository?: Repository }

function ask({ service }: Opened, { client }: Upstream, digest: Digest, options: Ask = {}): Promise<BlobAnswer> {
  return service.openBlob({
    client,
    digest,
    repository: options.repository ?? repository,
    range: options.range,
    mode: options.mode ?? 'cache',
    signal: options.signal ?? new AbortController().signal,
  })
}

function head({ service }: Opened, { client }: Upstream, digest: Digest, mode: BlobMode = 'cache') {
  return service.headBlob({ client, repository, digest, mode, signal: new AbortController().signal })
}

function bodyOf(answer: BlobAnswer): Readable {
  assert.equal(answer.kind, 'body')
  return (answer as BlobAnswer & { kind: 'body' }).body
}

/** Everything a client gets before its stream ends or breaks. */
async function drain(body: Readable): Promise<{ bytes: Buffer; error: unknown }> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of body) chunks.push(chunk as Buffer)
    return { bytes: Buffer.concat(chunks), error: undefined }
  } catch (error) {
    return { bytes: Buffer.concat(chunks), error }
  }
}

/** Lets everything that is ready run, without waiting for time. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turns = 0; !(await condition()); turns += 1) {
    assert.ok(turns < 100_000, 'it never became true')
    await turn()
  }
}

const stored = (opened: Opened, digest: Digest) => until(() => opened.store.size(digest) !== undefined)

describe('a blob that is not cached', () => {
  for (const size of [0, 1, 1000, CHUNK, 5 * CHUNK + 7, 5 * 1024 * 1024]) {
    it(`of ${size} bytes is streamed, verified and kept`, async (t) => {
      const opened = await openService(t)
      const { bytes, digest } = layer(size)
      const upstream = serving(bytes)
      const answer = await ask(opened, upstream, digest)
      assert.equal(answer.kind === 'body' && answer.size, size)
      assert.deepEqual(await buffer(bodyOf(answer)), bytes)
      await stored(opened, digest)
      assert.deepEqual(await opened.store.read(digest), bytes)
      assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digest))), bytes)
      assert.deepEqual(upstream.offsets, [0])
      assert.deepEqual(opened.events.at(-1), 'hit')
    })
  }

  it('is read once for 200 clients', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(20 * CHUNK)
    const upstream = serving(bytes)
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(opened, upstream, digest)))
    const bodies = await Promise.all(answers.map((answer) => buffer(bodyOf(answer))))
    assert.ok(bodies.every((body) => body.equals(bytes)))
    assert.deepEqual(upstream.offsets, [0])
  })

  it('is not shared between repositories', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(5 * CHUNK)
    const upstream = serving(bytes)
    const second = parseRepository('ghcr.io', 'private/c')!
    const answers = await Promise.all([
      ask(opened, upstream, digest),
      ask(opened, upstream, digest, { repository: second }),
    ])
    await Promise.all(answers.map((answer) => buffer(bodyOf(answer))))
    assert.deepEqual(upstream.offsets, [0, 0])
  })

  it('goes on to a fast reader beside one that does not read', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(5 * 1024 * 1024)
    const upstream = serving(bytes)
    const slow = bodyOf(await ask(opened, upstream, digest))
    const fast = bodyOf(await ask(opened, upstream, digest))
    assert.deepEqual(await buffer(fast), bytes)
    assert.deepEqual(await buffer(slow), bytes)
    assert.deepEqual(upstream.offsets, [0])
  })

  it('gives bytes before all have come, and a late client the same from the first on', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(4 * CHUNK)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, 2 * CHUNK))
    const early = bodyOf(await asked)
    const parts: Buffer[] = []
    early.on('data', (chunk: Buffer) => parts.push(chunk))
    await until(() => opened.events.includes('miss'))
    upstream.body.write(bytes.subarray(2 * CHUNK, 3 * CHUNK))
    await until(() => parts.length > 0)
    const late = bodyOf(await ask(opened, upstream, digest))
    const lateBytes = buffer(late)
    upstream.body.end(bytes.subarray(3 * CHUNK))
    await once(early, 'end')
    assert.deepEqual(Buffer.concat(parts), bytes)
    assert.deepEqual(await lateBytes, bytes)
    assert.deepEqual(upstream.offsets, [0])
  })

  it('of unknown size is answered without one', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(3 * CHUNK)
    const upstream = upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(bytes)) }), {
      headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
    })
    const answer = await ask(opened, upstream, digest, { range: { kind: 'from', start: 5, end: 9 } })
    assert.ok(answer.kind === 'body' && answer.size === undefined && answer.range === undefined)
    assert.deepEqual(await buffer(answer.body), bytes)
  })

  it('takes the size from HEAD where GET has none', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(3 * CHUNK)
    const upstream = upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(bytes)) }), {
      headBlob: () => Promise.resolve({ size: bytes.length }),
    })
    const answer = await ask(opened, upstream, digest)
    assert.equal(answer.kind === 'body' && answer.size, bytes.length)
    assert.deepEqual(await buffer(bodyOf(answer)), bytes)
  })
})

describe('wrong bytes', () => {
  const size = 10 * CHUNK
  const { bytes, digest } = layer(size)
  const corrupt = (at: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const cases: { name: string; upstream: () => Upstream }[] = [
    { name: 'a flipped byte at the end', upstream: () => serving(corrupt(size - 1)) },
    { name: 'a flipped byte at the beginning', upstream: () => serving(corrupt(0)) },
    { name: 'a shorter blob', upstream: () => serving(bytes.subarray(0, size - CHUNK)) },
    { name: 'bytes after the end', upstream: () => serving(Buffer.concat([bytes, Buffer.from('x')]), size) },
    { name: 'an end that never comes', upstream: () => serving(bytes.subarray(0, size - 1), size) },
    {
      name: 'a flipped byte and no size',
      upstream: () =>
        upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(corrupt(size - 1))) }), {
          headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
        }),
    },
  ]
  for (const { name, upstream } of cases) {
    for (const mode of ['cache', 'stream'] as const) {
      it(`break every answer before its end: ${name}, ${mode}`, async (t) => {
        const opened = await openService(t)
        const source = upstream()
        const answers = await Promise.all([
          ask(opened, source, digest, { mode }),
          ask(opened, source, digest, { mode }),
        ])
        for (const answer of answers) {
          const { bytes: got, error } = await drain(bodyOf(answer))
          assert.ok(error instanceof UpstreamError)
          assert.ok(got.length < size, `${got.length} bytes left`)
        }
        await until(async () => (await opened.incoming()).length === 0)
        assert.equal(opened.store.size(digest), undefined)
      })
    }
  }

  it('do not leave in a range that ended long before them either', async (t) => {
    const opened = await openService(t)
    const range: ByteRange = { kind: 'from', start: 0, end: 9 }
    const { bytes: got, error } = await drain(bodyOf(await ask(opened, serving(corrupt(size - 1)), digest, { range })))
    assert.ok(error instanceof UpstreamError)
    assert.ok(got.length < 10)
  })

  it('of a small JSON document are refused before the answer', async (t) => {
    const opened = await openService(t)
    const upstream = serving(Buffer.from('{"os":"linux"}'))
    await assert.rejects(ask(opened, upstream, digest), { name: 'UpstreamError', code: 'invalid' })
  })

  it('are asked for again by the next client', async (t) => {
    const opened = await openService(t)
    await drain(bodyOf(await ask(opened, serving(corrupt(5)), digest)))
    await until(async () => (await opened.incoming()).length === 0)
    assert.deepEqual(await buffer(bodyOf(await ask(opened, serving(bytes), digest))), bytes)
  })

  it('larger than the limit are refused before the answer', async (t) => {
    const opened = await openService(t, { limits: { blobBytesMax: 1000 } })
    await assert.rejects(ask(opened, serving(bytes), digest), { code: 'invalid' })
  })
})

describe('a connection that breaks', () => {
  const { bytes, digest } = layer(10 * CHUNK)
  const breaking = (parts: Buffer[]) =>
    Readable.from(
      (async function* () {
        yield* parts
        throw new Error('ECONNRESET')
      })(),
    )

  it('is taken up again where it broke', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset, attempt) => {
      const rest = bytes.subarray(offset)
      const body = attempt < 3 ? breaking(pieces(rest).slice(0, 2)) : Readable.from(pieces(rest))
      return { size: bytes.length, offset, body }
    })
    assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digest))), bytes)
    assert.deepEqual(upstream.offsets, [0, 2 * CHUNK, 4 * CHUNK, 6 * CHUNK])
  })

  it('is taken up again where upstream ended it early, and only sends everything', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((_offset, attempt) => {
      const body = Readable.from(pieces(attempt === 0 ? bytes.subarray(0, 3 * CHUNK + 5) : bytes))
      return { size: bytes.length, offset: 0, body }
    })
    assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digest))), bytes)
    assert.deepEqual(upstream.offsets, [0, 3 * CHUNK + 5])
  })

  it('is given up after three times', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset) => ({
      size: bytes.length,
      offset,
      body: breaking([bytes.subarray(offset, offset + 10)]),
    }))
    const { bytes: got, error } = await drain(bodyOf(await ask(opened, upstream, digest)))
    assert.ok(error instanceof UpstreamError && error.code === 'unavailable')
    assert.ok(got.length <= 40)
    assert.deepEqual(upstream.offsets, [0, 10, 20, 30])
  })

  it('is not taken up where upstream answers with another blob', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset, attempt) => ({
      size: bytes.length + attempt,
      offset,
      body: breaking([bytes.subarray(0, 10)]),
    }))
    const { error } = await drain(bodyOf(await ask(opened, upstream, digest)))
    assert.ok(error instanceof UpstreamError && error.code === 'invalid')
    assert.equal(upstream.offsets.length, 2)
  })

  it('is not taken up where upstream says no', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset, attempt) => {
      if (attempt > 0) throw new UpstreamError('forbidden', 'no')
      return { size: bytes.length, offset, body: breaking([bytes.subarray(0, 10)]) }
    })
    const { error } = await drain(bodyOf(await ask(opened, upstream, digest)))
    assert.ok(error instanceof UpstreamError && error.code === 'forbidden')
  })
})

describe('clients that leave', () => {
  const { bytes, digest } = layer(4 * CHUNK)

  it('do not take the read with them from those who stay', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = [ask(opened, upstream, digest), ask(opened, upstream, digest)]
    upstream.body.write(bytes.subarray(0, CHUNK))
    const [first, second] = await Promise.all(asked)
    bodyOf(first!).destroy()
    const rest = buffer(bodyOf(second!))
    upstream.body.end(bytes.subarray(CHUNK))
    assert.deepEqual(await rest, bytes)
  })

  it('leave a small blob to be finished for the next', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    upstream.body.end(bytes.subarray(CHUNK))
    await stored(opened, digest)
    assert.deepEqual(await opened.store.read(digest), bytes)
  })

  it('leave a large one to be given up after a while, unless somebody comes back', async (t) => {
    const opened = await openService(t, { limits: { abandonedBytesMax: 1000 } })
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    const pending = () => opened.timers.filter(({ delayMs, cancelled }) => delayMs === 10_000 && !cancelled)
    await until(() => pending().length === 1)
    const again = bodyOf(await ask(opened, upstream, digest))
    assert.equal(pending().length, 0)
    again.destroy()
    await until(() => pending().length === 1)
    pending()[0]!.callback()
    await until(() => upstream.body.destroyed)
    await until(async () => (await opened.incoming()).length === 0)
    assert.equal(opened.store.size(digest), undefined)
    assert.ok(opened.events.includes('abandoned'))
  })

  it('before the answer are told so, and the read goes on', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const gone = new AbortController()
    const asked = ask(opened, upstream, digest, { signal: gone.signal })
    gone.abort()
    await assert.rejects(asked, { name: 'UpstreamError', code: 'timeout' })
    upstream.body.end(bytes)
    await stored(opened, digest)
  })

  it('end a read that only passes through', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest, { mode: 'stream' })
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    await until(() => upstream.body.destroyed)
  })

  it('too late are cut off by the time limit of the read', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    const got = drain(bodyOf(await asked))
    opened.timers.find(({ delayMs }) => delayMs === 3_600_000)?.callback()
    const { error } = await got
    assert.ok(error instanceof UpstreamError && error.code === 'timeout')
  })
})

describe('ranges', () => {
  const { bytes, digest } = layer(10 * CHUNK)
  const cases: { name: string; range: ByteRange; expected: [number, number] | 'unsatisfiable' }[] = [
    { name: 'the beginning', range: { kind: 'from', start: 0, end: 0 }, expected: [0, 1] },
    { name: 'the middle', range: { kind: 'from', start: CHUNK - 1, end: 3 * CHUNK }, expected: [CHUNK - 1, 3 * CHUNK + 1] },
    { name: 'from an offset on', range: { kind: 'from', start: 9 * CHUNK, end: undefined }, expected: [9 * CHUNK, bytes.length] },
    { name: 'the last bytes', range: { kind: 'last', count: 10 }, expected: [bytes.length - 10, bytes.length] },
    { name: 'beyond the end', range: { kind: 'from', start: bytes.length, end: undefined }, expected: 'unsatisfiable' },
  ]
  for (const { name, range, expected } of cases) {
    for (const state of ['arriving', 'stored', 'streamed'] as const) {
      it(`${name}, ${state}`, async (t) => {
        const opened = await openService(t, { limits: { windowBytesMax: CHUNK } })
        const upstream = serving(bytes)
        if (state === 'stored') await opened.store.put(digest, bytes)
        const answer = await ask(opened, upstream, digest, { range, mode: state === 'streamed' ? 'stream' : 'cache' })
        if (expected === 'unsatisfiable') {
          return assert.deepEqual(answer, { kind: 'range-not-satisfiable', size: bytes.length })
        }
        assert.ok(answer.kind === 'body')
        assert.deepEqual(answer.range, { start: expected[0], end: expected[1] - 1 })
        assert.deepEqual(await buffer(answer.body), bytes.subarray(...expected))
      })
    }
  }

  it('of a small document', async (t) => {
    const opened = await openService(t)
    const config = Buffer.from('{"os":"linux"}')
    const answer = await ask(opened, serving(config), digestOf(config), { range: { kind: 'from', start: 1, end: 4 } })
    assert.equal((await buffer(bodyOf(answer))).toString(), '"os"')
  })
})

describe('manifests asked for as blobs', () => {
  const manifest = Buffer.from(' \n{"schemaVersion":2,"config":{},"layers":[]}')
  const config = Buffer.from('{"architecture":"amd64","rootfs":{}}')

  for (const mode of ['cache', 'stream', 'redirect'] as const) {
    it(`never leave and are never kept: ${mode}`, async (t) => {
      const opened = await openService(t)
      const upstream = serving(manifest)
      const digest = digestOf(manifest)
      assert.deepEqual(await ask(opened, upstream, digest, { mode }), { kind: 'is-manifest' })
      assert.deepEqual(await ask(opened, upstream, digest, { mode }), { kind: 'is-manifest' })
      assert.deepEqual(await head(opened, upstream, digest, mode), { kind: 'is-manifest' })
      assert.equal(opened.store.size(digest), undefined)
      assert.deepEqual(upstream.offsets, [0])
    })
  }

  it('do not leave in small pieces or without a size', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(manifest, 1)) }), {
      headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
    })
    assert.deepEqual(await ask(opened, upstream, digestOf(manifest)), { kind: 'is-manifest' })
  })

  it('do not leave the store, where the manifest route put them', async (t) => {
    const opened = await openService(t)
    await opened.store.put(digestOf(manifest), manifest)
    const nothing = upstreamOf(() => assert.fail('upstream was asked'))
    assert.deepEqual(await ask(opened, nothing, digestOf(manifest)), { kind: 'is-manifest' })
    assert.deepEqual(await head(opened, nothing, digestOf(manifest)), { kind: 'is-manifest' })
  })

  it('do not stop an image configuration', async (t) => {
    const opened = await openService(t)
    const upstream = serving(config)
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digestOf(config)))), config)
      await stored(opened, digestOf(config))
    }
    assert.deepEqual(upstream.offsets, [0])
  })

  it('do not stop JSON that is larger than any manifest', async (t) => {
    const opened = await openService(t)
    const large = Buffer.from(`{"schemaVersion":2,"pad":"${'x'.repeat(5 * 1024 * 1024)}"}`)
    for (const size of [large.length, undefined]) {
      const upstream = upstreamOf(() => ({ size, offset: 0, body: Readable.from(pieces(large)) }), {
        headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
      })
      const answer = await ask(opened, upstream, digestOf(large), { mode: 'stream' })
      assert.deepEqual(await buffer(bodyOf(answer)), large)
    }
  })
})

describe('HEAD', () => {
  const { bytes, digest } = layer(5 * 1024 * 1024)

  it('of a large blob asks upstream once for all, and reads nothing', async (t) => {
    const opened = await openService(t)
    const upstream = serving(bytes)
    const answers = await Promise.all(Array.from({ length: 20 }, () => head(opened, upstream, digest)))
    assert.ok(answers.every((answer) => answer.kind === 'found' && answer.size === bytes.length))
    assert.equal(upstream.heads, 1)
    assert.deepEqual(upstream.offsets, [])
  })

  it('of what is stored asks nobody', async (t) => {
    const opened = await openService(t)
    await opened.store.put(digest, bytes)
    const nothing = upstreamOf(() => assert.fail('upstream was asked'))
    assert.deepEqual(await head(opened, nothing, digest), { kind: 'found', size: bytes.length })
  })

  it('says what GET says where there is nothing', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf(() => {
      throw new UpstreamError('not-found', 'no such blob')
    })
    assert.deepEqual(await head(opened, upstream, digest), { kind: 'not-found' })
    assert.deepEqual(await ask(opened, upstream, digest), { kind: 'not-found' })
  })

  it('and GET pass on what is no answer', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf(() => {
      throw new UpstreamError('rate-limited', 'later', { retryAfterSeconds: 5 })
    })
    await assert.rejects(head(opened, upstream, digest), { code: 'rate-limited', retryAfterSeconds: 5 })
    await assert.rejects(ask(opened, upstream, digest), { code: 'rate-limited', retryAfterSeconds: 5 })
  })
})

describe('redirect', () => {
  const { bytes, digest } = layer(5 * 1024 * 1024)
  const located = (location: string | undefined, content: Buffer): Upstream => {
    const upstream = serving(content)
    return Object.assign(upstream, {
      client: { ...upstream.client, locateBlob: () => Promise.resolve(location) },
    })
  }

  it('sends the client where upstream would', async (t) => {
    const opened = await openService(t)
    const answer = await ask(opened, located('https://cdn.example/x', bytes), digest, { mode: 'redirect' })
    assert.deepEqual(answer, { kind: 'redirect', location: 'https://cdn.example/x' })
  })

  it('streams where upstream does not redirect', async (t) => {
    const opened = await openService(t)
    const answer = await ask(opened, located(undefined, bytes), digest, { mode: 'redirect' })
    assert.deepEqual(await buffer(bodyOf(answer)), bytes)
    assert.equal(opened.store.size(digest), undefined)
  })

  it('never sends it to what could be a manifest', async (t) => {
    const opened = await openService(t)
    const small = layer(1000)
    const answer = await ask(opened, located('https://cdn.example/x', small.bytes), small.digest, { mode: 'redirect' })
    assert.deepEqual(await buffer(bodyOf(answer)), small.bytes)
  })
})

describe('a disk in trouble', () => {
  const { bytes, digest } = layer(40 * CHUNK)

  /** The disk is full once a file holds `bytesMax`. */
  function fullAfter(bytesMax: number): Files {
    return {
      ...nodeFiles,
      async open(path, flags, mode) {
        const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
        if (flags === 'wx' && bytesMax === 0) throw full
        const handle = await nodeFiles.open(path, flags, mode)
        let written = 0
        const write = handle.writeFile.bind(handle)
        handle.writeFile = async (chunk) => {
          written += (chunk as Uint8Array).length
          if (written > bytesMax) throw full
          await write(chunk)
        }
        return handle
      },
    }
  }

  const limits = { windowBytesMax: 2 * CHUNK }
  for (const [name, bytesMax] of Object.entries({ 'from the start': 0, 'half way': 20 * CHUNK })) {
    it(`${name} breaks no answer`, async (t) => {
      const opened = await openService(t, { files: fullAfter(bytesMax), limits })
      const upstream = serving(bytes)
      const answers = await Promise.all([0, 1, 2].map(() => ask(opened, upstream, digest)))
      const bodies = await Promise.all(answers.map((answer) => buffer(bodyOf(answer))))
      assert.ok(bodies.every((body) => body.equals(bytes)))
      assert.deepEqual(upstream.offsets, [0])
      assert.ok(opened.events.includes('uncached'))
      await until(async () => (await opened.incoming()).length === 0)
      assert.equal(opened.store.size(digest), undefined)
    })

    it(`${name} lets no wrong bytes through`, async (t) => {
      const opened = await openService(t, { files: fullAfter(bytesMax), limits })
      const wrong = Buffer.from(bytes)
      wrong[wrong.length - 1] = (wrong.at(-1) ?? 0) ^ 1
      const { bytes: got, error } = await drain(bodyOf(await ask(opened, serving(wrong), digest)))
      assert.ok(error instanceof UpstreamError)
      assert.ok(got.length < bytes.length)
    })
  }

  it('gives a late client a read of its own when the beginning is gone', async (t) => {
    const opened = await openService(t, { files: fullAfter(0), limits })
    const upstream = serving(bytes)
    const first = bodyOf(await ask(opened, upstream, digest))
    for await (const _chunk of first.iterator({ destroyOnReturn: false })) break
    await until(() => first.readableLength > 0)
    const late = buffer(bodyOf(await ask(opened, upstream, digest)))
    assert.deepEqual(await late, bytes)
    assert.deepEqual(upstream.offsets, [0, 0])
    first.destroy()
  })

  it('gives up a read that lost both the disk and its readers', async (t) => {
    const opened = await openService(t, { files: fullAfter(2 * CHUNK), limits })
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    upstream.body.write(bytes.subarray(CHUNK, 10 * CHUNK))
    await until(() => upstream.body.destroyed)
    assert.ok(opened.events.includes('abandoned'))
  })
})

describe('a stream that only passes through', () => {
  it('makes upstream wait for the client', async (t) => {
    const opened = await openService(t, { limits: { windowBytesMax: 2 * CHUNK } })
    const { bytes, digest } = layer(100 * CHUNK)
    let sent = 0
    const upstream = upstreamOf((offset) => ({
      size: bytes.length,
      offset,
      body: Readable.from(
        (function* () {
          for (const piece of pieces(bytes)) {
            sent += 1
            yield piece
          }
        })(),
        { highWaterMark: 1 },
      ),
    }))
    const body = bodyOf(await ask(opened, upstream, digest, { mode: 'stream' }))
    for (let turns = 0; turns < 500; turns += 1) await turn()
    assert.ok(sent < 20, `${sent} chunks were read for a client that took none`)
    assert.deepEqual(await buffer(body), bytes)
    assert.equal(opened.store.size(digest), undefined)
  })
})

describe('shutdown', () => {
  it('breaks what is arriving, cleans up and takes nothing new', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(4 * CHUNK)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    const got = drain(bodyOf(await asked))
    await opened.service.close()
    assert.ok((await got).error instanceof UpstreamError)
    assert.deepEqual(await opened.incoming(), [])
    await assert.rejects(ask(opened, upstream, digest), { name: 'UpstreamError', code: 'unavailable' })
  })
})
