import * as nodeFiles from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { ByteReader } from '../byte-reader.ts'
import { matchesDigest, type Digest } from '../oci/digest.ts'
import {
  contentPath,
  DIRECTORY_MODE,
  FILE_MODE,
  incomingPath,
  listContent,
  moveInto,
  sizeOfFile,
  type Files,
} from './content-files.ts'
import { createContentIndex, type ContentIndex } from './content-index.ts'
import type { ContentStoreOptions } from './content-options.ts'
import { ContentReader, createReading, type OpenContent, type Reading } from './content-reader.ts'
import { isMissing, StoreError, storeError } from './error.ts'
import { IncomingFile } from './incoming.ts'
import type { ContentStore, IncomingContent } from './types.ts'

export type DirectoryContentStore = ContentStore & {
  /** Settles when files that the index does not know have been taken in: after a crash, or a lost database. */
  readonly reconciled: Promise<void>
  /** Writes when what was last used: others evict by it. Reports a disk that refuses. */
  flushUses(): void
  /** Removes what a guest that has ended left on its way in, and takes in what it had put without an entry in the index. */
  forgetGuest(name: string): Promise<void>
  /** Waits for what is being moved or removed, and writes the index. Open streams are left to their readers. */
  close(): Promise<void>
}

const VICTIMS_AT_ONCE = 32
const FILES_MAX = 500_000

/** Throws StoreError where the directory cannot be made or written at all. */
export async function openContentStore(options: ContentStoreOptions): Promise<DirectoryContentStore> {
  const files = options.files ?? nodeFiles
  const incoming = incomingPath(options)
  try {
    // Leftovers of a crash. Nothing in here was ever content.
    await files.rm(incoming, { force: true, recursive: true })
    await files.mkdir(incoming, { recursive: true, mode: DIRECTORY_MODE })
    return new DiskContentStore(options, files, createContentIndex(options.database, options.now))
  } catch (error) {
    throw storeError(`cannot use the content directory ${options.directory}`, error)
  }
}

class DiskContentStore implements DirectoryContentStore {
  readonly reconciled: Promise<void>
  readonly #options: ContentStoreOptions
  readonly #files: Files
  readonly #index: ContentIndex
  readonly #reading: Reading
  /** Open readers by digest. */
  readonly #inUse = new Map<Digest, number>()
  /** The tail of a queue: a file and its entry in the index change together, one digest after another. */
  #changes: Promise<unknown> = Promise.resolve()
  /** The tail of the looks through the directory. */
  #takenIn: Promise<void>
  #incomingBytes = 0
  #incomingCount = 0
  #closed = false
  /** Until everything that lies in the directory is known: what was dropped since the start. */
  #dropped: Set<Digest> | undefined = new Set()

  constructor(options: ContentStoreOptions, files: Files, index: ContentIndex) {
    this.#options = options
    this.#files = files
    this.#index = index
    this.#reading = createReading(options)
    this.reconciled = options.guest === undefined ? this.#reconcile() : Promise.resolve()
    this.#takenIn = this.reconciled
  }

  size(digest: Digest): number | undefined {
    try {
      const size = this.#index.size(digest) ?? this.#adoptUnknown(digest)
      if (size !== undefined) this.#index.use(digest)
      return size
    } catch (error) {
      this.#report('cannot read the content index', error)
      return undefined
    }
  }

  noteUse(digest: Digest): void {
    try {
      this.#index.use(digest)
    } catch (error) {
      this.#report('cannot note a use of content', error)
    }
  }

  /**
   * A file that the index does not know yet must not be asked of upstream, which may be why the process was restarted.
   * Synchronous, like the index: it takes some 10 µs, and only until the directory has been looked through.
   */
  #adoptUnknown(digest: Digest): number | undefined {
    if (this.#dropped === undefined || this.#dropped.has(digest)) return undefined
    const size = this.#sizeOfFile(digest)
    if (size !== undefined) this.#index.adopt(digest, size, this.#options.now())
    return size
  }

  async read(digest: Digest): Promise<Buffer | undefined> {
    const size = this.size(digest)
    if (size === undefined) return undefined
    try {
      const bytes = await this.#files.readFile(this.#path(digest))
      if (bytes.length === size && matchesDigest(bytes, digest)) return bytes
      await this.#dropDamaged(digest, 'its bytes have changed')
    } catch (error) {
      await this.#dropUnreadable(digest, error)
    }
    return undefined
  }

  async open(digest: Digest, range?: { start: number; end: number }): Promise<ByteReader | undefined> {
    const size = this.size(digest)
    if (size === undefined) return undefined
    this.#pin(digest)
    let file: FileHandle | undefined
    try {
      file = await this.#files.open(this.#path(digest), 'r')
      const stats = await file.stat()
      if (stats.size === size) {
        const identity = `${digest} ${stats.ino} ${stats.ctimeMs}`
        return this.#reader(digest, { file, identity, size, range: range ?? { start: 0, end: size - 1 } })
      }
      await file.close()
      this.#unpin(digest)
      await this.#dropDamaged(digest, 'its length has changed')
    } catch (error) {
      await file?.close().catch(() => undefined)
      this.#unpin(digest)
      await this.#dropUnreadable(digest, error)
    }
    return undefined
  }

  #reader(digest: Digest, what: OpenContent): ByteReader {
    return new ContentReader({
      ...this.#reading,
      ...what,
      isShared: () => (this.#inUse.get(digest) ?? 0) > 1,
      onFailure: (cause) => {
        this.#report(`cannot read ${digest}`, cause)
        // The next request gets it from upstream again instead of the same broken sector.
        if (!this.#closed) void this.#drop(digest)
      },
      onClose: () => this.#unpin(digest),
    })
  }

  async put(digest: Digest, bytes: Buffer): Promise<void> {
    if (this.size(digest) === bytes.length) return
    let incoming: IncomingContent | undefined
    try {
      incoming = await this.createIncoming(digest)
      await incoming.write(bytes)
      await incoming.commit()
    } catch {
      // Reported where it happened. The caller has the bytes and goes on with them.
      await incoming?.discard()
    }
  }

  async createIncoming(digest: Digest): Promise<IncomingContent> {
    this.#incomingCount += 1
    const name = `${digest.replace(':', '-')}.${this.#incomingCount}`
    const path = join(incomingPath(this.#options), name)
    try {
      const handle = await this.#files.open(path, 'wx', FILE_MODE)
      return new IncomingFile(path, handle, {
        reserve: (count, total) => this.#reserve(count, total),
        adopt: (from, size) => this.#adopt(digest, from, size),
        release: (count) => void (this.#incomingBytes -= count),
        remove: (file) => this.#removeFile(file),
        onError: (error) => this.#options.onError(error),
      })
    } catch (error) {
      throw this.#report('cannot create a temporary file', error)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#takenIn
    await this.#changes
    this.flushUses()
  }

  async forgetGuest(name: string): Promise<void> {
    try {
      await this.#files.rm(incomingPath({ ...this.#options, guest: name }), { force: true, recursive: true })
    } catch (error) {
      this.#report('cannot remove what a process left', error)
    }
    // It may have ended between the rename of a file and its entry: nobody would count that file, or evict it.
    this.#takenIn = this.#takenIn.then(() => this.#reconcile())
    await this.#takenIn
  }

  /** A full disk refuses this too, and must not keep eviction from making room. */
  flushUses(): void {
    try {
      this.#index.flush()
    } catch (error) {
      this.#report('cannot write the content index', error)
    }
  }

  async #reserve(count: number, total: number): Promise<void> {
    if (total > this.#options.bytesMax) {
      throw new StoreError('full', `content is larger than the budget of ${this.#options.bytesMax} bytes`)
    }
    this.#incomingBytes += count
    await this.#evict()
  }

  async #adopt(digest: Digest, from: string, size: number): Promise<void> {
    await this.#change(async () => {
      const path = this.#path(digest)
      await moveInto(this.#files, from, path)
      this.#dropped?.delete(digest)
      try {
        this.#index.add(digest, size)
      } catch (error) {
        // Without an entry nobody would count it or evict it.
        await this.#removeFile(path)
        throw error
      }
      this.#incomingBytes -= size
    })
    await this.#evict()
  }

  async #evict(): Promise<void> {
    try {
      for (let victims = this.#victims(); victims.length > 0; victims = this.#victims()) {
        for (const digest of victims) await this.#change(() => this.#evictOne(digest))
      }
    } catch (error) {
      this.#report('cannot evict content', error)
    }
  }

  /** The next to go, least recently used first; none where the budget is kept or everything is in use. */
  #victims(): readonly Digest[] {
    if (!this.#isOverBudget()) return []
    this.flushUses()
    const oldest = this.#index.leastRecentlyUsed(this.#inUse.size + VICTIMS_AT_ONCE)
    return oldest.filter((digest) => !this.#inUse.has(digest))
  }

  #isOverBudget(): boolean {
    const { bytesMax, filesMax = FILES_MAX } = this.#options
    return this.#index.totalBytes() + this.#incomingBytes > bytesMax || this.#index.files() > filesMax
  }

  async #evictOne(digest: Digest): Promise<void> {
    // Both may have changed while this waited for its turn.
    if (this.#inUse.has(digest) || !this.#isOverBudget()) return
    await this.#remove(digest)
  }

  /**
   * The file first: freed space is what lets a full disk write the index again, and a file that cannot be removed keeps its
   * entry. Without one another process would take the file for whole, and adopt it as it is.
   */
  async #remove(digest: Digest): Promise<void> {
    await this.#files.rm(this.#path(digest), { force: true })
    this.#index.remove(digest, () => this.#sizeOfFile(digest) === undefined)
  }

  async #dropUnreadable(digest: Digest, cause: unknown): Promise<void> {
    if (!isMissing(cause)) return void this.#report(`cannot read ${digest}`, cause)
    // Another process removes the file first, and then its entry.
    if (this.#options.isShared === true) return await this.#drop(digest)
    // Evicted between the look into the index and the read: nothing is wrong.
    if (this.size(digest) !== undefined) await this.#dropDamaged(digest, 'its file is gone')
  }

  async #dropDamaged(digest: Digest, what: string): Promise<void> {
    this.#options.onError(new StoreError('damaged', `dropped ${digest} from the content store: ${what}`))
    await this.#drop(digest)
  }

  async #drop(digest: Digest): Promise<void> {
    this.#dropped?.add(digest)
    try {
      await this.#change(() => this.#remove(digest))
    } catch (error) {
      this.#report(`cannot drop ${digest}`, error)
    }
  }

  async #removeFile(path: string): Promise<void> {
    try {
      await this.#files.rm(path, { force: true })
    } catch (error) {
      this.#report('cannot remove a file', error)
    }
  }

  async #reconcile(): Promise<void> {
    try {
      for await (const digest of listContent(this.#files, this.#options.directory)) {
        if (this.#closed) return
        if (this.#index.size(digest) === undefined) await this.#change(() => this.#adoptFound(digest))
      }
    } catch (error) {
      this.#report('cannot reconcile the content directory', error)
    }
    this.#dropped = undefined
    await this.#evict()
  }

  /** Safe without hashing: a file gets this name only by the rename that follows its verification. */
  async #adoptFound(digest: Digest): Promise<void> {
    try {
      const { size, mtime } = await this.#files.stat(this.#path(digest))
      this.#index.adopt(digest, size, mtime)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#changes.then(work)
    this.#changes = done.catch(() => undefined)
    return done
  }

  #sizeOfFile(digest: Digest): number | undefined {
    return (this.#options.sizeOfFile ?? sizeOfFile)(this.#path(digest))
  }

  #path(digest: Digest): string {
    return contentPath(this.#options.directory, digest).path
  }

  #pin(digest: Digest): void {
    this.#inUse.set(digest, (this.#inUse.get(digest) ?? 0) + 1)
  }

  #unpin(digest: Digest): void {
    const users = (this.#inUse.get(digest) ?? 1) - 1
    if (users === 0) this.#inUse.delete(digest)
    else this.#inUse.set(digest, users)
  }

  #report(what: string, cause: unknown): StoreError {
    const error = storeError(what, cause)
    this.#options.onError(error)
    return error
  }
}
