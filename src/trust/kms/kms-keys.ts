import nodeFiles from 'node:fs/promises'
import type { KmsReference } from '../../policy/kms-reference.ts'
import { isMissing } from '../../store/error.ts'
import type { KeySet } from '../../verify/types.ts'
import { TrustError } from '../trust-error.ts'
import type { FetchKey } from './fetched-key.ts'
import { decodeState, keyFilePath, writeKeyFile, type KeyFileSystem } from './key-file.ts'
import {
  confirm,
  endedOf,
  endOf,
  expiryOf,
  isExpired,
  keySetOf,
  lose,
  missingOf,
  nextChangeOf,
  NO_KEY,
  type KeptKey,
  type KeyChange,
  type KeyState,
  type KeyWindows,
  type Step,
} from './key-state.ts'

export type KmsKeysDeps = KeyWindows & {
  /** Ours alone; made where it is not there. */
  readonly directory: string
  readonly fetchKey: FetchKey
  now(): Date
  onEvent(event: KmsKeyEvent): void
  /** Default node:fs/promises. */
  readonly files?: KeyFileSystem
}

/** For log and metrics. `reference` is the operator's text; messages are one line. */
export type KmsKeyEvent = { readonly reference: string } & (
  | KeyChange
  /** KMS could not be asked, or answered with nothing that is of use. What is held goes on. */
  | { readonly kind: 'failed'; readonly code: 'unavailable' | 'refused'; readonly message: string }
  /** Not confirmed for keyMaxAge: not trusted from now on. */
  | { readonly kind: 'expired'; readonly message: string }
  /** A file that is not what was written: removed, as if the key had never been obtained. */
  | { readonly kind: 'damaged'; readonly message: string }
  /** The disk does not let itself be read or written: the key counts until the process ends. */
  | { readonly kind: 'disk'; readonly message: string }
)

export type KmsKeyStatus = {
  readonly reference: string
  /** `gone`: KMS has none, and `retiring` is all that still counts. */
  readonly state: 'held' | 'missing' | 'gone'
  /** What an operator has to know, with all that KMS said, in one line; undefined where the key is held and confirmed. */
  readonly problem: string | undefined
  /** Undefined where KMS has none, or never gave one. */
  readonly current:
    | {
        /** ARN. */
        readonly keyId: string
        /** `sha256:<hex>` of the SubjectPublicKeyInfo. */
        readonly fingerprint: string
        readonly fetchedAt: Date
        readonly ageMs: number
        /** When it is trusted no more unless KMS confirms it again. */
        readonly stopsAt: Date
      }
    | undefined
  readonly retiring: readonly { readonly keyId: string; readonly fingerprint: string; readonly until: Date }[]
  readonly goneSince: Date | undefined
  /** Of the last attempt; undefined where it went well. */
  readonly lastError: KmsKeyError | undefined
}

export type KmsKeyError = {
  readonly code: 'unavailable' | 'refused'
  readonly message: string
  readonly at: Date
}

type Entry = {
  readonly reference: KmsReference
  state: KeyState
  lastError: KmsKeyError | undefined
  toldExpired: boolean
  /** Of those in `state`, or they are none of ours any more. */
  readonly toldRetired: WeakSet<KeptKey>
}

/** What clients may read of a failure. Whatever KMS itself said may name accounts and roles: that is for the log. */
const FAILURES: Readonly<Record<KmsKeyError['code'], string>> = {
  unavailable: 'its KMS cannot be reached',
  refused: 'its KMS gives no key',
}

/** The public keys that references stand for: fetched, kept on disk, and trusted through an outage of their KMS. */
export class KmsKeys {
  readonly #deps: KmsKeysDeps
  readonly #files: KeyFileSystem
  /** By reference. */
  readonly #entries = new Map<string, Entry>()
  #refreshing: Promise<void> | undefined

  constructor(references: readonly KmsReference[], deps: KmsKeysDeps) {
    this.#deps = deps
    this.#files = deps.files ?? nodeFiles
    for (const reference of references) this.#entry(reference)
  }

  /** What was held when the process ended, without asking anybody. Never rejects: what cannot be read is told. */
  async load(): Promise<void> {
    await Promise.all([...this.#entries.values()].map((entry) => this.#loadEntry(entry)))
    this.#tellEnded()
  }

  /**
   * From now on these too. What is new is read from disk and, with a signal, KMS is asked for what is not there. Never
   * rejects: what cannot be had is told, and missing.
   */
  async add(references: readonly KmsReference[], signal: AbortSignal | undefined): Promise<void> {
    const added = references
      .filter(({ text }) => !this.#entries.has(text))
      .map((reference) => this.#entry(reference))
    await Promise.all(
      added.map(async (entry) => {
        await this.#loadEntry(entry)
        if (signal !== undefined && entry.state.current === undefined) await this.#refreshEntry(entry, signal)
      }),
    )
  }

  /** Forgets all others; what is on disk stays, for the day that somebody names them again. */
  keep(texts: ReadonlySet<string>): void {
    for (const text of this.#entries.keys()) if (!texts.has(text)) this.#entries.delete(text)
  }

  #entry(reference: KmsReference): Entry {
    const entry = {
      reference,
      state: NO_KEY,
      lastError: undefined,
      toldExpired: false,
      toldRetired: new WeakSet<KeptKey>(),
    }
    this.#entries.set(reference.text, entry)
    return entry
  }

  /**
   * Asks KMS for every key, all at once; who calls meanwhile waits for the same. Rejects with TrustError when all are
   * done and some failed; what was held is held on, and `status` has the error of each.
   */
  async refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#refreshAll(signal).finally(() => {
      this.#refreshing = undefined
    })
    await this.#refreshing
  }

  /** The keys that count now, one set a reference, always. Tells `retired` and `expired` once when it first sees them. */
  sets(): ReadonlyMap<string, KeySet> {
    const now = this.#deps.now()
    this.#tellEnded()
    return new Map(
      [...this.#entries.values()].map((entry) => {
        const missing = this.#missing(entry, now, entry.lastError && FAILURES[entry.lastError.code])
        return [entry.reference.text, keySetOf(entry.state, now, this.#deps, missing)]
      }),
    )
  }

  /** When `sets` changes by time alone; undefined where it does not. */
  nextChangeAt(): Date | undefined {
    const now = this.#deps.now()
    return [...this.#entries.values()]
      .flatMap(({ state }) => nextChangeOf(state, now, this.#deps) ?? [])
      .toSorted((a, b) => a.getTime() - b.getTime())[0]
  }

  status(): readonly KmsKeyStatus[] {
    const now = this.#deps.now()
    const sets = this.sets()
    return [...this.#entries.values()].map((entry) => {
      const { reference, state, lastError } = entry
      const { current, retiring, gone } = state
      return {
        reference: reference.text,
        state: gone === undefined ? (sets.get(reference.text)?.kind ?? 'missing') : 'gone',
        problem: this.#problem(entry, now),
        current: current && {
          keyId: current.keyId,
          fingerprint: current.publicKey.id,
          fetchedAt: current.confirmedAt,
          ageMs: now.getTime() - current.confirmedAt.getTime(),
          stopsAt: expiryOf(current, this.#deps),
        },
        retiring: retiring
          .map((key) => ({
            keyId: key.keyId,
            fingerprint: key.publicKey.id,
            until: endOf(key, this.#deps),
          }))
          .filter(({ until }) => until > now),
        goneSince: gone?.since,
        lastError,
      }
    })
  }

  #missing({ reference, state }: Entry, now: Date, because: string | undefined): string | undefined {
    const missing = missingOf(state, now, this.#deps)
    if (missing === undefined) return undefined
    const why = because ?? (state.current === undefined ? 'KMS was not asked yet' : undefined)
    return `the key ${reference.text} ${missing}${why === undefined ? '' : `: ${why}`}`
  }

  #problem(entry: Entry, now: Date): string | undefined {
    const { reference, state, lastError } = entry
    const { gone } = state
    if (gone === undefined) return this.#missing(entry, now, lastError?.message) ?? lastError?.message
    const since = gone.since.toISOString()
    return `KMS has had no key ${reference.text} since ${since}: ${gone.message}`
  }

  async #loadEntry(entry: Entry): Promise<void> {
    const reference = entry.reference.text
    const path = keyFilePath(this.#deps.directory, reference)
    let text: string
    try {
      text = (await this.#files.readFile(path)).toString()
    } catch (error) {
      if (!isMissing(error)) this.#tell(entry, { kind: 'disk', message: `${path}: ${messageOf(error)}` })
      return
    }
    try {
      entry.state = decodeState(reference, text)
    } catch (error) {
      this.#tell(entry, {
        kind: 'damaged',
        message: `${path} was damaged and is removed: ${messageOf(error)}`,
      })
      await this.#files.rm(path, { force: true }).catch((cause: unknown) => {
        this.#tell(entry, { kind: 'disk', message: `${path}: ${messageOf(cause)}` })
      })
    }
  }

  async #refreshAll(signal: AbortSignal): Promise<void> {
    const entries = [...this.#entries.values()]
    const problems = await Promise.all(entries.map((entry) => this.#refreshEntry(entry, signal)))
    const [first, ...others] = problems.filter((problem) => problem !== undefined)
    if (first === undefined) return
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`
    throw new TrustError(first.code, `${first.message}${more}`)
  }

  async #refreshEntry(entry: Entry, signal: AbortSignal): Promise<KmsKeyError | undefined> {
    const reference = entry.reference.text
    try {
      const fetched = await this.#deps.fetchKey(entry.reference, signal)
      const at = this.#deps.now()
      if (fetched.kind === 'key') {
        const { keyId, publicKey } = fetched
        entry.lastError = undefined
        await this.#advance(
          entry,
          confirm(entry.state, { keyId, publicKey, confirmedAt: at }, at, this.#deps),
        )
        return undefined
      }
      await this.#advance(entry, lose(entry.state, fetched.message, at, this.#deps))
      entry.lastError = { code: 'refused', message: fetched.message, at }
    } catch (error) {
      // Whatever it is, it says nothing about the key that is held.
      const code = error instanceof TrustError && error.code === 'refused' ? 'refused' : 'unavailable'
      entry.lastError = { code, message: messageOf(error), at: this.#deps.now() }
    }
    const { code, message } = entry.lastError
    this.#tell(entry, { kind: 'failed', code, message })
    return { ...entry.lastError, message: `${reference}: ${message}` }
  }

  /** Takes the new state, and keeps it: a key counts even where the disk is full. */
  async #advance(entry: Entry, { state, changes }: Step): Promise<void> {
    entry.state = state
    for (const change of changes) this.#tellChange(entry, change)
    try {
      await writeKeyFile(this.#files, this.#deps.directory, entry.reference.text, state)
    } catch (error) {
      this.#tell(entry, { kind: 'disk', message: `the key cannot be kept: ${messageOf(error)}` })
    }
  }

  /** Tells, once, of each key that has ended by time alone. */
  #tellEnded(): void {
    const now = this.#deps.now()
    for (const entry of this.#entries.values()) {
      const { state, lastError } = entry
      for (const key of endedOf(state, now, this.#deps)) this.#tellChange(entry, { kind: 'retired', key })
      const expired = isExpired(state, now, this.#deps)
      const message =
        expired && !entry.toldExpired ? this.#missing(entry, now, lastError?.message) : undefined
      entry.toldExpired = expired
      if (message !== undefined) this.#tell(entry, { kind: 'expired', message })
    }
  }

  #tellChange(entry: Entry, change: KeyChange): void {
    if (change.kind === 'retired') {
      if (entry.toldRetired.has(change.key)) return
      entry.toldRetired.add(change.key)
    }
    this.#tell(entry, change)
  }

  #tell({ reference }: Entry, change: DistributiveOmit<KmsKeyEvent, 'reference'>): void {
    this.#deps.onEvent({ reference: reference.text, ...change })
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replaceAll(/\s+/g, ' ') : 'unknown error'
}
