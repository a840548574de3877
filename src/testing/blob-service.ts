import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createBlobService, type BlobAnswer, type BlobMode, type BlobService } from '../blob.ts'
import type { BlobLimits } from '../blob/limits.ts'
import type { ByteRange } from '../http/range.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { parseRepository, type Repository } from '../oci/reference.ts'
import type { Files } from '../store/content-files.ts'
import type { DirectoryContentStore } from '../store/content.ts'
import type { RegistryClient, UpstreamBlob } from '../upstream/types.ts'
import { incomingFiles, openStore, streamOf } from './content-store.ts'

const repository: Repository = parseRepository('ghcr.io', 'a/b')!
export const CHUNK = 64 * 1024

/** Bytes that are no JSON, each different from its neighbours. */
export function layer(size: number): { bytes: Buffer; digest: Digest } {
  const bytes = Buffer.alloc(size)
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + (index >> 8)) & 0xff
  return { bytes, digest: digestOf(bytes) }
}

export function pieces(bytes: Buffer, size = CHUNK): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

/** A registry client that counts what it is asked for. */
export type Upstream = { client: RegistryClient; offsets: number[]; heads: number }

/** An upstream whose GETs are answered by `answer`, in order of the request. */
export function upstreamOf(
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

/** An upstream that serves these bytes, from any offset. */
export const serving = (bytes: Buffer, size: number | undefined = bytes.length) =>
  upstreamOf((offset) => ({ size, offset, body: Readable.from(pieces(bytes.subarray(offset))) }))

/** An upstream whose single body the test feeds by hand. */
export function fed(size: number | undefined): Upstream & { body: PassThrough } {
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

/** A service over a store of its own; timers fire when the test calls them. */
export async function openService(t: TestContext, { limits = {}, files }: Setup = {}): Promise<Opened> {
  const directory = await mkdtemp(join(tmpdir(), 'blob-'))
  const { store } = await openStore(t, files === undefined ? { directory } : { directory, files })
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
  return { service, store, events, timers, incoming: () => incomingFiles(directory) }
}

type Ask = { range?: ByteRange; mode?: BlobMode; signal?: AbortSignal; repository?: Repository }

export function ask(
  { service }: Opened,
  { client }: Upstream,
  digest: Digest,
  options: Ask = {},
): Promise<BlobAnswer> {
  return service.openBlob({
    client,
    digest,
    repository: options.repository ?? repository,
    range: options.range,
    mode: options.mode ?? 'cache',
    signal: options.signal ?? new AbortController().signal,
  })
}

export function head({ service }: Opened, { client }: Upstream, digest: Digest, mode: BlobMode = 'cache') {
  return service.headBlob({ client, repository, digest, mode, signal: new AbortController().signal })
}

export function bodyOf(answer: BlobAnswer): Readable {
  if (answer.kind === 'bytes') return Readable.from([answer.bytes], { objectMode: false })
  assert.equal(answer.kind, 'body')
  return streamOf((answer as BlobAnswer & { kind: 'body' }).body)
}

/** Everything a client gets before its stream ends or breaks. */
export async function drain(body: Readable): Promise<{ bytes: Buffer; error: unknown }> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of body) chunks.push(chunk as Buffer)
    return { bytes: Buffer.concat(chunks), error: undefined }
  } catch (error) {
    return { bytes: Buffer.concat(chunks), error }
  }
}

/** Lets everything that is ready run, without waiting for time. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turns = 0; !(await condition()); turns += 1) {
    assert.ok(turns < 100_000, 'it never became true')
    await turn()
  }
}

/** Waits until the store has it. */
export const stored = (opened: Opened, digest: Digest) => until(() => opened.store.size(digest) !== undefined)
