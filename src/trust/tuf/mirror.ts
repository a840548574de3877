import * as nodeFiles from 'node:fs/promises'
import { hash } from 'node:crypto'
import { DIRECTORY_MODE, type Files } from '../../store/content-files.ts'
import { TrustError } from '../trust-error.ts'
import type { FetchBytes } from './fetch.ts'
import { readGeneration, writeGeneration, EMPTY_GENERATION, memoryOf, type Generation } from './generation.ts'
import { readInitialRoot, type InitialRoot } from './initial-root.ts'
import { oneLine, textOf } from './message.ts'
import { ROOT_FILE, rootFile } from './names.ts'
import { readFrom } from './read-verified.ts'
import { verifyRepository, type VerifiedRepository } from './repository.ts'
import type { RoleState } from './role-state.ts'
import { walkRoots, type RootChain } from './roots.ts'
import { SharedRun } from './shared-run.ts'

export type TufMirrorOptions = {
  /** What configuration calls it; for messages. */
  readonly name: string
  /** Where its metadata is, without a slash at the end; its targets are below `targets/`. */
  readonly url: string
  /** Ours alone. */
  readonly directory: string
  /** The `root.json` that everything is verified from. */
  readonly initialRoot: Buffer
  /** For one request. */
  readonly fetchTimeoutMs: number
}

export type TufMirrorEvent = {
  readonly kind:
    | 'damaged' // what was kept is not what was written; it was dropped and will be fetched again
    | 'role-expired' // a delegated role is past its time, so its targets are left out
  readonly mirror: string
  /** One line. */
  readonly message: string
}

export type TufMirrorDeps = {
  readonly now: () => Date
  readonly fetch: FetchBytes
  readonly onEvent?: (event: TufMirrorEvent) => void
  /** Why verified targets are of no use all the same, in one line: then the mirror stays as it was. */
  readonly objectionTo?: (targets: ReadonlyMap<string, Buffer>) => string | undefined
  /** Default: those of node:fs/promises. */
  readonly files?: Files
}

export type TufState = {
  /** When the repository was last found to have nothing newer. */
  readonly refreshedAt: Date
  readonly rootVersion: number
  readonly roles: readonly RoleState[]
  /** The earliest of root, timestamp, snapshot and targets: until then clients accept what is served from here. */
  readonly expiresAt: Date
  /** Of the content: changes with any byte of any file. */
  readonly version: string
}

export type ServedFile = {
  readonly bytes: Buffer
  /** Whether these bytes are the only ones that this name will ever have. */
  readonly isImmutable: boolean
}

type Current = {
  readonly state: TufState
  readonly repository: VerifiedRepository
  /** All that is served, roots included. */
  readonly files: ReadonlyMap<string, Buffer>
  readonly isConsistent: boolean
}

/**
 * A verified copy of one TUF repository: for our own use, and served on to other TUF clients. Whatever becomes of the
 * repository, this keeps what it verified last; how old that may be is for the caller to say.
 */
export class TufMirror {
  readonly #options: TufMirrorOptions
  readonly #deps: TufMirrorDeps
  readonly #initial: InitialRoot
  readonly #files: Files
  readonly #url: string
  readonly #run = new SharedRun()
  #kept: Generation = EMPTY_GENERATION
  #current: Current | undefined
  /** Of the generation before: clients that began with its timestamp still ask for the rest. */
  #former: ReadonlyMap<string, Buffer> = new Map()

  private constructor(options: TufMirrorOptions, deps: TufMirrorDeps) {
    this.#options = options
    this.#deps = deps
    this.#initial = readInitialRoot(options.name, options.initialRoot)
    this.#files = deps.files ?? nodeFiles
    // As the client will ask for it, so that its answers are found again.
    this.#url = new URL(options.url).href.replace(/\/+$/, '')
  }

  /**
   * Takes up what is on disk, verified again from the initial root as of the time of its last refresh; asks no network.
   * What does not verify is dropped with an event. Throws TrustError `trust-root` for an initial root that is none, and
   * `unavailable` where the directory cannot be used.
   */
  static async open(options: TufMirrorOptions, deps: TufMirrorDeps): Promise<TufMirror> {
    const mirror = new TufMirror(options, deps)
    await mirror.#load()
    return mirror
  }

  /**
   * Brings the copy up to date, or finds that it is. One at a time: whoever asks meanwhile shares it. Rejects with
   * TrustError `unavailable` or `refused`; the state is then what it was.
   */
  async refresh(signal: AbortSignal): Promise<void> {
    await this.#run.join(
      signal,
      async (shared) => await this.#refresh(shared),
      () => this.#explained(new TrustError('unavailable', `refresh from ${this.#url} was given up`)),
    )
  }

  /** Undefined before the first refresh that succeeded. */
  state(): TufState | undefined {
    return this.#current?.state
  }

  /** A target by its path. The same buffer as long as its bytes are the same. */
  target(path: string): Buffer | undefined {
    return this.#current?.repository.targets.get(path)
  }

  /** What the signers of a target say of it beside its length and hashes; of any shape. */
  custom(path: string): unknown {
    return this.#current?.repository.customs.get(path)
  }

  /** A file by its path below the repository's URL, percent-decoded; `root.json` is the newest root. */
  file(path: string): ServedFile | undefined {
    if (this.#current === undefined) return undefined
    const { files, state, isConsistent } = this.#current
    if (path === 'root.json') return served(files.get(rootFile(state.rootVersion)), false)
    const isImmutable = ROOT_FILE.test(path) || (isConsistent && path !== 'timestamp.json')
    return served(files.get(path) ?? (isImmutable ? this.#former.get(path) : undefined), isImmutable)
  }

  async #load(): Promise<void> {
    const { directory, name } = this.#options
    try {
      await this.#files.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
      const { generation, damage } = await readGeneration(directory, this.#files)
      for (const what of damage) this.#tell('damaged', `${directory}: ${what}; it will be fetched again`)
      this.#kept = damage.length === 0 ? generation : memoryOf(generation)
    } catch (error) {
      throw new TrustError('unavailable', `mirror of ${name}: ${directory}: ${textOf(error)}`, error)
    }
    try {
      // The client's roots may be ahead of the repository's.
      walkRoots(this.#initial, (file) => this.#kept.client.get(file) ?? this.#kept.repository.get(file))
    } catch (error) {
      this.#drop(error, EMPTY_GENERATION)
    }
    if (this.#kept.refreshedAt === undefined) return
    try {
      await this.#takeUp(this.#kept, this.#kept.refreshedAt)
    } catch (error) {
      this.#drop(error, memoryOf(this.#kept))
    }
  }

  #drop(reason: unknown, remainder: Generation): void {
    const message = `${this.#options.directory}: does not verify from the initial root (${textOf(reason)})`
    this.#tell('damaged', `${message}; it is dropped and will be fetched again`)
    this.#kept = remainder
  }

  /** Everything in it was verified, and unexpired, at that time: so it must be again. */
  async #takeUp({ repository: kept }: Generation, at: Date): Promise<void> {
    const chain = walkRoots(this.#initial, (file) => kept.get(file))
    const read = readFrom(kept)
    const repository = await verifyRepository({ chain, top: read, read, at })
    const files = new Map([...chain.files, ...repository.files])
    this.#current = createCurrent({ repository, files, chain, at })
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { directory, fetchTimeoutMs } = this.#options
    const at = this.#deps.now()
    // Only now: a start, which takes up what is on disk, needs no client of TUF.
    const { synchronise } = await import('./synchronise.ts')
    const outcome = await this.#onDisk(
      async () =>
        await synchronise({
          initial: this.#initial,
          kept: this.#kept,
          url: this.#url,
          directory,
          fetch: this.#deps.fetch,
          fetchTimeoutMs,
          at,
          signal,
        }),
    )
    if (outcome.kind === 'failed') {
      await this.#keepClient(outcome.client)
      throw this.#explained(outcome.error)
    }
    const { generation, repository, chain } = outcome
    const objection = this.#deps.objectionTo?.(repository.targets)
    if (objection !== undefined) {
      await this.#keepClient(generation.client)
      throw this.#explained(new TrustError('refused', `${this.#url}: ${objection}`))
    }
    await this.#onDisk(async () => await writeGeneration(directory, generation, this.#files))
    const next = createCurrent({ repository, files: generation.repository, chain, at })
    if (this.#current !== undefined && this.#current.state.version !== next.state.version) {
      this.#former = this.#current.files
    }
    this.#kept = generation
    this.#current = next
    this.#tellOf(repository)
  }

  /** A root or timestamp that was seen is never unseen, whatever was wrong with the rest of the repository. */
  async #keepClient(client: ReadonlyMap<string, Buffer>): Promise<void> {
    if (isSame(client, this.#kept.client)) return
    this.#kept = { ...this.#kept, client }
    try {
      await writeGeneration(this.#options.directory, this.#kept, this.#files)
    } catch {
      // In memory it counts all the same, and why the refresh failed says more than this.
    }
  }

  async #onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const { directory } = this.#options
      throw this.#explained(
        new TrustError('unavailable', `${directory} cannot be written: ${textOf(error)}`, error),
      )
    }
  }

  /** What went wrong, and what that means. */
  #explained(error: TrustError): TrustError {
    const { name } = this.#options
    const refreshedAt = this.#current?.state.refreshedAt.toISOString()
    const consequence =
      refreshedAt === undefined
        ? `${name} has nothing from this repository yet`
        : `${name} stays as it was at ${refreshedAt}`
    return new TrustError(error.code, `${error.message}; ${consequence}`, error)
  }

  #tellOf({ expired }: VerifiedRepository): void {
    for (const { role, expires } of expired) {
      const what = `role ${oneLine(role)} expired at ${expires.toISOString()}`
      this.#tell('role-expired', `${this.#url}: ${what}: its targets are left out`)
    }
  }

  #tell(kind: TufMirrorEvent['kind'], message: string): void {
    this.#deps.onEvent?.({ kind, mirror: this.#options.name, message })
  }
}

function createCurrent(parts: {
  readonly repository: VerifiedRepository
  readonly files: ReadonlyMap<string, Buffer>
  readonly chain: RootChain
  readonly at: Date
}): Current {
  const { repository, files, chain, at } = parts
  const { version: rootVersion, consistentSnapshot: isConsistent } = chain.newest.signed
  const { roles, expiresAt } = repository
  const names = [...files].map(([file, bytes]) => `${file}\0${hash('sha256', bytes, 'hex')}`).toSorted()
  const version = `sha256:${hash('sha256', names.join('\n'), 'hex')}`
  return {
    state: { refreshedAt: at, rootVersion, roles, expiresAt, version },
    repository,
    files,
    isConsistent,
  }
}

function served(bytes: Buffer | undefined, isImmutable: boolean): ServedFile | undefined {
  return bytes === undefined ? undefined : { bytes, isImmutable }
}

function isSame(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([file, bytes]) => b.get(file)?.equals(bytes) === true)
}
