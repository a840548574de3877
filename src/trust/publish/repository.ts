import { join } from 'node:path'
import { lockDirectory } from '../../store/lock.ts'
import { StoreError } from '../../store/error.ts'
import { listFiles, makeFolder, readIfThere, writeWhole, type Disk } from './disk.ts'
import { PublishError, reasonOf } from './error.ts'
import { INCOMING_FOLDER, PUBLIC_FOLDER, STAGED_FOLDER, STATE_FILE, TIMESTAMP_PATH } from './layout.ts'
import { encodeState, parseState, type State } from './state.ts'
import { readTimestamp } from './metadata.ts'
import { refuseExpired, verifyRepository, type Files, type Verified } from './verify-repository.ts'

/** One file to be published. */
export type Write = { readonly path: string; readonly bytes: Buffer }

export type PublishOptions = {
  readonly now: Date
  /** A lost key cannot sign the state between two files: then only the last state is verified. */
  readonly allowsGap?: boolean
}

/** More files than years of publishing leave behind; a directory with more is not a repository. */
const FILES_MAX = 20_000

/**
 * A repository's directory, held by this process alone. What is served is changed by `publish` only, and nothing is
 * written that a strict client would refuse.
 */
export class Repository {
  readonly directory: string
  readonly #disk: Disk
  #files: Files
  #state: State | undefined

  private constructor(directory: string, disk: Disk, files: Files, state: State | undefined) {
    this.directory = directory
    this.#disk = disk
    this.#files = files
    this.#state = state
  }

  static async read(directory: string, disk: Disk): Promise<Repository> {
    const published = join(directory, PUBLIC_FOLDER)
    const paths = await listFiles(disk, published)
    if (paths.length > FILES_MAX) throw new PublishError('invalid', `${published} has ${paths.length} files`)
    const files = new Map<string, Buffer>()
    for (const path of paths) {
      const bytes = await readIfThere(disk, join(published, path))
      if (bytes !== undefined) files.set(path, bytes)
    }
    const statePath = join(directory, STATE_FILE)
    const text = await readIfThere(disk, statePath)
    const state = text === undefined ? undefined : parseState(text.toString('utf8'), statePath)
    return new Repository(directory, disk, files, state)
  }

  /** What is served now. */
  get files(): Files {
    return this.#files
  }

  /** Undefined before `init`. */
  get state(): State | undefined {
    return this.#state
  }

  /** Throws PublishError `usage` before `init`. */
  initialized(): State {
    if (this.#state !== undefined) return this.#state
    throw new PublishError('usage', `${this.directory} has no ${STATE_FILE}`)
  }

  async saveState(state: State): Promise<void> {
    await this.#write(STATE_FILE, encodeState(state))
    this.#state = state
  }

  stagedPath(name: string): string {
    return join(this.directory, STAGED_FOLDER, name)
  }

  async stagedFiles(): Promise<readonly string[]> {
    return listFiles(this.#disk, join(this.directory, STAGED_FOLDER))
  }

  async readStaged(name: string): Promise<Buffer | undefined> {
    return readIfThere(this.#disk, this.stagedPath(name))
  }

  async stage(name: string, bytes: Buffer): Promise<void> {
    await this.#write(join(STAGED_FOLDER, name), bytes)
  }

  /** Empties the stage. */
  async unstage(): Promise<void> {
    await this.#disk.rm(join(this.directory, STAGED_FOLDER), { force: true, recursive: true })
  }

  /**
   * Publishes the files in this order. Before the first is written, every state that a kill between two of them could
   * leave has been verified as a strict client would; the last one with its expiry, too. Throws PublishError `conflict`
   * where a published file would change or the clock has gone back, `invalid` where a client would refuse.
   */
  async publish(writes: readonly Write[], { now, allowsGap = false }: PublishOptions): Promise<void> {
    const state = this.initialized()
    if (now.getTime() < Date.parse(state.lastWrite)) {
      throw new PublishError(
        'conflict',
        `the clock says ${now.toISOString()}, but this repository was written at ${state.lastWrite}: set the clock`,
      )
    }
    const next = new Map(this.#files)
    const startsWhole = isWhole(this.#files)
    for (const [index, { path, bytes }] of writes.entries()) {
      const before = next.get(path)
      if (path !== TIMESTAMP_PATH && before !== undefined && !before.equals(bytes)) {
        throw new PublishError('conflict', `${path} is published already, with other content`)
      }
      next.set(path, bytes)
      if (startsWhole && !allowsGap && index < writes.length - 1) verifyRepository(next)
    }
    const verified = verifyRepository(next)
    refuseRollback(this.#files, verified)
    refuseExpired(verified, now)
    await this.saveState({ ...state, lastWrite: now.toISOString() })
    for (const { path, bytes } of writes) await this.#write(join(PUBLIC_FOLDER, path), bytes)
    this.#files = next
  }

  async #write(path: string, bytes: Buffer): Promise<void> {
    await writeWhole(this.#disk, join(this.directory, path), bytes, join(this.directory, INCOMING_FOLDER))
  }
}

/** False before the first root, and after a run was killed in the gap that a lost key leaves: nothing to keep whole then. */
function isWhole(files: Files): boolean {
  try {
    verifyRepository(files)
    return true
  } catch {
    return false
  }
}

/** What clients have seen they do not unsee: 5.4.3 and 5.5.5 of the specification. Reads what may not verify any more. */
function refuseRollback(before: Files, { release }: Verified): void {
  const bytes = before.get(TIMESTAMP_PATH)
  if (bytes === undefined) return
  const old = readTimestamp(TIMESTAMP_PATH, bytes).signed
  if (release === undefined) throw new PublishError('conflict', `${TIMESTAMP_PATH} would vanish`)
  const { version, snapshotMeta } = release.timestamp.signed
  if (version < old.version || snapshotMeta.version < old.snapshotMeta.version) {
    throw new PublishError(
      'conflict',
      `timestamp ${version} with snapshot ${snapshotMeta.version} would go back ` +
        `from ${old.version} with ${old.snapshotMeta.version}`,
    )
  }
}

/**
 * Runs `action` with the repository to itself. Throws PublishError `locked` where another run has it, `usage` where there
 * is none and `create` does not ask for one.
 */
export async function withRepository<T>(
  { directory, disk, create = false }: { directory: string; disk: Disk; create?: boolean },
  action: (repository: Repository) => Promise<T>,
): Promise<T> {
  if (!create && (await readIfThere(disk, join(directory, STATE_FILE))) === undefined) {
    throw new PublishError(
      'usage',
      `${directory} is no trust repository; portcullis trust publish init makes one`,
    )
  }
  const release = await lock(directory, disk)
  try {
    // Left by a run that was killed; nobody else writes now.
    await disk.rm(join(directory, INCOMING_FOLDER), { force: true, recursive: true })
    return await action(await Repository.read(directory, disk))
  } finally {
    release()
  }
}

async function lock(directory: string, disk: Disk): Promise<() => void> {
  try {
    await makeFolder(disk, directory)
    return lockDirectory(directory)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'in-use') {
      throw new PublishError('locked', `another run is at work in ${directory}; wait for it to end`, error)
    }
    throw new PublishError('unavailable', `cannot use ${directory}: ${reasonOf(error)}`, error)
  }
}
