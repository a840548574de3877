import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { parseKmsReference, type KmsReference } from '../policy/kms-reference.ts'
import { publicKeyOf } from './verification.ts'
import type { SchemeOptions } from '../verify/public-key.ts'
import { TrustError } from '../trust/trust-error.ts'
import type { FetchedKey } from '../trust/kms/fetched-key.ts'
import { KmsKeys, type KmsKeyEvent, type KmsKeysDeps } from '../trust/kms/kms-keys.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR
export const START = new Date('2027-01-01T00:00:00Z')
export const NEVER = new AbortController().signal

export function referenceOf(text: string): KmsReference {
  const result = parseKmsReference(text)
  return result.ok ? result.reference : assert.fail(result.message)
}

export const RELEASE = referenceOf('awskms:///alias/release')
export const OTHER = referenceOf('awskms:///alias/other')
const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })

export function newKey(name: string): FetchedKey {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return { kind: 'key', keyId: name, publicKey: publicKeyOf(publicKey, { hashAlgorithm: 'sha256' }) }
}

export const [A, B] = [newKey('A'), newKey('B')]
export const rsaKey = (options: SchemeOptions): FetchedKey => ({
  kind: 'key',
  keyId: 'R',
  publicKey: publicKeyOf(pair.publicKey, options),
})
export const GONE: FetchedKey = { kind: 'gone', message: 'NotFoundException: no such alias' }
export const DOWN = new TrustError('unavailable', 'ECONNREFUSED')
export const DENIED = new TrustError('refused', 'AccessDeniedException: no')

/** A KMS that answers what it is told, a clock that is set, a directory that outlives a `KmsKeys`. */
export class World {
  now = START
  readonly events: KmsKeyEvent[] = []
  readonly answers = new Map<string, FetchedKey | Error>()
  asked = 0
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  keys(options: Partial<KmsKeysDeps> = {}, references: readonly KmsReference[] = [RELEASE]): KmsKeys {
    return new KmsKeys(references, {
      directory: this.directory,
      keyMaxAgeMs: 30 * DAY,
      overlapMs: 7 * DAY,
      now: () => this.now,
      onEvent: (event) => this.events.push(event),
      fetchKey: async ({ text }) => {
        this.asked += 1
        const answer = this.answers.get(text) ?? DOWN
        if (answer instanceof Error) throw answer
        return answer
      },
      ...options,
    })
  }

  /** What KMS answers from now on, and a refresh that meets it. */
  async refresh(keys: KmsKeys, answer: FetchedKey | Error, text = RELEASE.text): Promise<void> {
    this.answers.set(text, answer)
    await keys.refresh(NEVER).catch((error: unknown) => assert.ok(error instanceof TrustError))
  }

  pass(ms: number): void {
    this.now = new Date(this.now.getTime() + ms)
  }

  /** The kinds of events since the last call. */
  told(): readonly string[] {
    return this.events.splice(0).map(({ kind }) => kind)
  }
}

/** Key names and whether each is retiring; or the message of a missing set. */
export function read(keys: KmsKeys, text = RELEASE.text): unknown {
  const set = keys.sets().get(text)
  if (set?.kind !== 'held') return set?.message
  const names = new Map(
    [A, B].flatMap((key) => (key.kind === 'key' ? [[key.publicKey.id, key.keyId] as const] : [])),
  )
  return set.keys
    .map(({ key, isRetiring }) => `${names.get(key.id) ?? 'other'}${isRetiring ? ' retiring' : ''}`)
    .join(', ')
}
