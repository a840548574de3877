import { LRUCache } from 'lru-cache'
import type { ByteReader } from '../byte-reader.ts'
import type { ResolvedRange } from '../http/range.ts'
import { createLru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { ContentStore } from '../store/types.ts'
import { isManifest, mayBeManifest } from './manifest-shape.ts'

type StoredContent = Pick<ContentStore, 'size' | 'noteUse' | 'read' | 'open'>

export type Shape = 'blob' | 'manifest'

/** A part of a blob, or all of it. */
export type StoredBytes =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'body'; readonly body: ByteReader }

/** Digests whose nature is remembered, about 100 bytes each. */
const SHAPES_MAX = 100_000
/** Bytes of one: more is not sent in one piece, since a client that does not read keeps what is being sent to it in memory. */
const IN_MEMORY_BYTES_MAX = 256 * 1024
const MEMORY_BYTES_MAX = 32 * 1024 * 1024
/** Beside the bytes of one. */
const ENTRY_BYTES = 512

/**
 * What the store holds, as far as it is blobs: it holds manifests too, so that content is stored says nothing. The small ones that
 * were asked for last are kept in memory, hashed after they were read; the kernel keeps the others.
 */
export class StoredBlobs {
  readonly #content: StoredContent
  /** A digest never changes its nature, so this is right for as long as it is remembered. */
  readonly #shapes = createLru<Digest, Shape>(SHAPES_MAX)
  /** No manifests. */
  readonly #memory = new LRUCache<Digest, Buffer>({
    maxSize: MEMORY_BYTES_MAX,
    sizeCalculation: ({ length }) => length + ENTRY_BYTES,
  })

  constructor(content: StoredContent) {
    this.#content = content
  }

  size(digest: Digest): number | undefined {
    return this.#content.size(digest)
  }

  /** The whole blob, where it is at hand without a wait. */
  inMemory(digest: Digest): Buffer | undefined {
    return this.#memory.get(digest)
  }

  /** To be told of what was sent from memory: what the store takes for unused goes first. */
  noteUse(digest: Digest): void {
    this.#content.noteUse(digest)
  }

  isKnownManifest(digest: Digest): boolean {
    return this.#shapes.get(digest) === 'manifest'
  }

  learn(digest: Digest, shape: Shape): void {
    this.#shapes.set(digest, shape)
  }

  /** Of stored content of this size. Undefined where it turned out to be damaged. */
  async shapeOf(digest: Digest, size: number): Promise<Shape | undefined> {
    if (!mayBeManifest(size)) return 'blob'
    const known = this.#shapes.get(digest)
    if (known !== undefined) return known
    const bytes = await this.#content.read(digest)
    if (bytes === undefined) return undefined
    const shape = (await isManifest(bytes)) ? 'manifest' : 'blob'
    this.learn(digest, shape)
    if (shape === 'blob') this.#keep(digest, bytes)
    return shape
  }

  /** Of a blob. Undefined where it turned out to be damaged. */
  async open(
    digest: Digest,
    size: number,
    range: ResolvedRange | undefined,
  ): Promise<StoredBytes | undefined> {
    if (size > IN_MEMORY_BYTES_MAX) {
      const body = await this.#content.open(digest, range)
      return body === undefined ? undefined : { kind: 'body', body }
    }
    const bytes = this.#memory.get(digest) ?? (await this.#read(digest))
    return bytes === undefined ? undefined : { kind: 'bytes', bytes: partOf(bytes, range) }
  }

  async #read(digest: Digest): Promise<Buffer | undefined> {
    const bytes = await this.#content.read(digest)
    if (bytes !== undefined) this.#keep(digest, bytes)
    return bytes
  }

  #keep(digest: Digest, bytes: Buffer): void {
    if (bytes.length <= IN_MEMORY_BYTES_MAX) this.#memory.set(digest, bytes)
  }
}

export function partOf(bytes: Buffer, range: ResolvedRange | undefined): Buffer {
  return range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)
}
