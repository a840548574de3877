import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent } from 'undici'
import { TrustError, type TrustErrorCode } from '../trust/trust-error.ts'
import { createTufFetch } from '../trust/tuf/fetch.ts'
import { TufMirror, type TufMirrorDeps, type TufMirrorEvent } from '../trust/tuf/mirror.ts'
import type { TufRepository } from './tuf-repository.ts'

export type MirrorUnderTest = AsyncDisposable & {
  readonly directory: string
  readonly events: TufMirrorEvent[]
  /** What the mirror's clock says from now on. */
  setNow(now: Date): void
  /** Opens the directory, as a process that starts does; `deps` replaces what it works with. */
  open(options?: OpenOptions): Promise<TufMirror>
}

type OpenOptions = {
  readonly initialRoot?: Buffer
  readonly url?: string
  readonly fetchTimeoutMs?: number
  readonly deps?: Partial<TufMirrorDeps>
}

/** Longer than the loopback interface ever takes; tests that wait for it give a shorter one. */
const FETCH_TIMEOUT_MS = 30_000
const DAY_MS = 86_400_000

/** A directory for a mirror of the repository, and all that it takes to open it. */
export async function createMirrorUnderTest(
  repository: Pick<TufRepository, 'url' | 'root'>,
): Promise<MirrorUnderTest> {
  const parent = await mkdtemp(join(tmpdir(), 'tuf-mirror-'))
  const directory = join(parent, 'mirror')
  const dispatcher = new Agent()
  const events: TufMirrorEvent[] = []
  const clock: { fixed: Date | undefined } = { fixed: undefined }
  const fetch = createTufFetch({ dispatcher, schemes: ['http:'] })
  return {
    directory,
    events,
    setNow: (now) => {
      clock.fixed = now
    },
    open: async ({ deps = {}, ...options } = {}) =>
      await TufMirror.open(
        {
          name: 'ours',
          url: repository.url,
          directory,
          fetchTimeoutMs: FETCH_TIMEOUT_MS,
          ...options,
          initialRoot: options.initialRoot ?? repository.root(),
        },
        { now: () => clock.fixed ?? new Date(), fetch, onEvent: (event) => events.push(event), ...deps },
      ),
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy()
      await rm(parent, { recursive: true, force: true })
    },
  }
}

/** A signal that nobody gives. */
export function never(): AbortSignal {
  return new AbortController().signal
}

export function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS)
}

/** For assert.rejects: a TrustError of that code, told in one line. */
export function isTrustError(code: TrustErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TrustError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    assert.doesNotMatch(error.message, /\n/)
    return true
  }
}
