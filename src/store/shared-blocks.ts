import { LRUCache } from 'lru-cache'
import type { BlockPool } from './blocks.ts'

/** Blocks that are kept, 32 MiB: as far as readers of the same content may be apart and still share what one of them has read. */
const KEPT_MAX = 128

/** Fills the beginning of `block`, and tells how many bytes. */
export type FillBlock = (block: Buffer) => Promise<number>

/** A part of some content, in memory that others may be reading. */
export type SharedBlock = {
  readonly bytes: Buffer
  /** To be called once; the bytes are nobody's after that. */
  readonly release: () => void
}

class Entry {
  readonly block: Buffer
  /** Undefined until it is filled. */
  bytes: Buffer | undefined
  readonly filled: Promise<Buffer>
  readers = 0
  isKept = true

  constructor(block: Buffer, fill: FillBlock) {
    this.block = block
    this.filled = this.#fill(fill)
  }

  async #fill(fill: FillBlock): Promise<Buffer> {
    this.bytes = this.block.subarray(0, await fill(this.block))
    return this.bytes
  }
}

/**
 * What several readers of the same content want at about the same time, read once: the nodes of a rollout pull the same layers. The one
 * in front reads; those behind find it in memory, and catch up. A block goes back to the pool when nobody reads it and nobody may
 * find it any more: until then its bytes stay what they are.
 */
export class SharedBlocks {
  readonly #pool: BlockPool
  readonly #kept = new LRUCache<string, Entry>({
    max: KEPT_MAX,
    dispose: (entry) => {
      entry.isKept = false
      this.#giveBack(entry)
    },
  })

  constructor(pool: BlockPool) {
    this.#pool = pool
  }

  /** Where it has been read already. `key` stands for these bytes and no others, ever. */
  peek(key: string): SharedBlock | undefined {
    const entry = this.#kept.get(key)
    return entry?.bytes === undefined ? undefined : this.#lend(entry, entry.bytes)
  }

  /** Read by whoever asks first. Rejects for all who wait for it, with what `fill` rejects with; the next to ask tries again. */
  async take(key: string, fill: FillBlock): Promise<SharedBlock> {
    const entry = this.#kept.get(key) ?? this.#begin(key, fill)
    entry.readers += 1
    try {
      const bytes = await entry.filled
      return this.#lend(entry, bytes)
    } finally {
      this.#leave(entry)
    }
  }

  #begin(key: string, fill: FillBlock): Entry {
    const entry = new Entry(this.#pool.take(), fill)
    this.#kept.set(key, entry)
    entry.filled.catch(() => {
      if (this.#kept.peek(key) === entry) this.#kept.delete(key)
    })
    return entry
  }

  #lend(entry: Entry, bytes: Buffer): SharedBlock {
    entry.readers += 1
    return { bytes, release: () => this.#leave(entry) }
  }

  #leave(entry: Entry): void {
    entry.readers -= 1
    this.#giveBack(entry)
  }

  #giveBack(entry: Entry): void {
    if (!entry.isKept && entry.readers === 0) this.#pool.give(entry.block)
  }
}
