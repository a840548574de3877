import { hash } from 'node:crypto'
import { DISK, readPolicyFiles, statePolicyFiles, type DirectoryFileSystem } from './directory-files.ts'
import { gitRevision } from './git-revision.ts'
import { failure, type PolicyFiles, type PolicySource, type Reading } from './source.ts'

export type DirectorySourceOptions = {
  readonly directory: string
  readonly lookEveryMs: number | undefined
}

export type DirectorySourceDeps = {
  readonly disk: DirectoryFileSystem
  /** The commit that the directory is checked out at. */
  revision(directory: string): Promise<string | undefined>
}

type Snapshot = {
  readonly content: string
  readonly files: PolicyFiles
  readonly revision: string | undefined
}

/** Two readings in a row must agree; what changes through so many is not looked at while somebody writes it. */
const READINGS_MAX = 5

/**
 * A directory of policy documents. It is looked at, never watched: that works alike for local disks, network file
 * systems, mounted ConfigMaps and Git checkouts.
 */
export class DirectorySource implements PolicySource {
  readonly lookEveryMs: number | undefined
  readonly mayBeMissing = false
  readonly #directory: string
  readonly #deps: DirectorySourceDeps
  /** What it looked like at the last look, and what it looked like when it was last read after it had settled. */
  #seen: string | undefined
  #settled: string | undefined

  constructor(
    { directory, lookEveryMs }: DirectorySourceOptions,
    deps: DirectorySourceDeps = { disk: DISK, revision: gitRevision },
  ) {
    this.#directory = directory
    this.lookEveryMs = lookEveryMs
    this.#deps = deps
  }

  /**
   * True once for each look that is new and was the same on two calls in a row: whoever writes a set takes a while, and
   * half of it may be a set, too. What was read before it had settled is read again, since a file that is written twice
   * within the resolution of its times looks the same.
   */
  async mayHaveChanged(): Promise<boolean> {
    const look = await this.#look()
    const isSettled = look === this.#seen
    this.#seen = look
    if (!isSettled || look === this.#settled) return false
    this.#settled = look
    return true
  }

  async read(): Promise<Reading> {
    try {
      const snapshot = await this.#readTwice()
      if (snapshot !== undefined) return this.#reading(snapshot)
      return this.#unread('changes while it is read; write the new set beside it and swap it in by a link')
    } catch (error) {
      return this.#unread(`not readable: ${messageOf(error)}`)
    }
  }

  #reading({ content, files, revision }: Snapshot): Reading {
    const directory = this.#directory
    if (files.policies.length === 0) {
      return failure(directory, 'found no policy file (*.yaml, *.yml); unset policies.directory for none')
    }
    return { ok: true, content, files, origin: { kind: 'directory', directory, revision } }
  }

  /** Looked at again soon, though it may look the same. */
  #unread(message: string): Reading {
    this.#settled = undefined
    return failure(this.#directory, message)
  }

  async #look(): Promise<string> {
    try {
      const state = await statePolicyFiles(this.#directory, this.#deps.disk)
      return `${await this.#revision()}\n${state}`
    } catch (error) {
      return `not readable: ${messageOf(error)}`
    }
  }

  /** Undefined where it never was the same twice in a row. */
  async #readTwice(): Promise<Snapshot | undefined> {
    let last = await this.#readOnce()
    for (let readings = 1; readings < READINGS_MAX; readings++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other is the point
      const next = await this.#readOnce()
      if (next.content === last.content && next.revision === last.revision) return next
      last = next
    }
    return undefined
  }

  async #readOnce(): Promise<Snapshot> {
    const files = await readPolicyFiles(this.#directory, this.#deps.disk)
    return { content: contentOf(files), files, revision: await this.#revision() }
  }

  async #revision(): Promise<string | undefined> {
    return await this.#deps.revision(this.#directory)
  }
}

function contentOf({ policies, keys }: PolicyFiles): string {
  const files = [...policies.map(({ path, text }) => [path, text]), ...keys]
  return `sha256:${hash('sha256', JSON.stringify(files), 'hex')}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
