import type { KeySet, PublicKey } from '../../verify/types.ts'

export type KeptKey = {
  /** ARN. */
  readonly keyId: string
  readonly publicKey: PublicKey
  /** When KMS last gave this key for the reference. */
  readonly confirmedAt: Date
}

/** A key that the reference stood for until `since`, and that ends at `until` or an overlap after `since`. */
export type RetiringKey = KeptKey & { readonly since: Date; readonly until: Date }

/**
 * What is known of one reference. Changes only by an answer of KMS: what time makes of it is worked out where it is
 * used, so that a clock that was wrong for a while leaves nothing behind.
 */
export type KeyState = {
  readonly current: KeptKey | undefined
  /** The next to end first. Those that have ended count no more, and go with the next answer of KMS. */
  readonly retiring: readonly RetiringKey[]
  /** KMS answers that there is no key, first at that time. Never together with `current`. */
  readonly gone: { readonly since: Date; readonly message: string } | undefined
}

export type KeyWindows = {
  /** How long a key is trusted after KMS last confirmed it. */
  readonly keyMaxAgeMs: number
  /** How long a key is trusted after the reference stands for another one, or for none. */
  readonly overlapMs: number
}

/** What an answer, or time, has made of a reference. */
export type KeyChange =
  /** The first one. */
  | { readonly kind: 'obtained'; readonly key: KeptKey }
  /** The reference stands for another key; `until` is when the one before ends, undefined where it had ended. */
  | { readonly kind: 'moved'; readonly from: KeptKey; readonly to: KeptKey; readonly until: Date | undefined }
  /** KMS says that there is no key any more. */
  | {
      readonly kind: 'gone'
      readonly key: KeptKey
      readonly message: string
      readonly until: Date | undefined
    }
  /** And now that it is there again. */
  | { readonly kind: 'returned'; readonly key: KeptKey }
  /** Not trusted from now on. */
  | { readonly kind: 'retired'; readonly key: KeptKey }

export type Step = { readonly state: KeyState; readonly changes: readonly KeyChange[] }

export const NO_KEY: KeyState = { current: undefined, retiring: [], gone: undefined }

/**
 * An alias that is moved again and again leaves this many keys behind it, the latest ones. A rotation leaves one; whoever
 * may move the alias shall not thereby collect keys that are all trusted.
 */
const RETIRING_MAX = 4

/** The scheme belongs to the key: with another one, other signatures count. */
function isSameKey(a: KeptKey, b: KeptKey): boolean {
  const [left, right] = [a.publicKey, b.publicKey]
  return (
    left.id === right.id &&
    left.scheme?.hash === right.scheme?.hash &&
    (left.scheme?.pss ?? false) === (right.scheme?.pss ?? false)
  )
}

function after(time: Date, ms: number): Date {
  return new Date(time.getTime() + ms)
}

/** When the key ends unless KMS confirms it again. */
export function expiryOf(key: KeptKey, { keyMaxAgeMs }: KeyWindows): Date {
  return after(key.confirmedAt, keyMaxAgeMs)
}

function distanceMs(a: Date, b: Date): number {
  return Math.abs(a.getTime() - b.getTime())
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b
}

/** Either way: a clock that was ahead when the key was confirmed must not keep it for as long as it was ahead. */
export function isExpired({ current }: KeyState, now: Date, { keyMaxAgeMs }: KeyWindows): boolean {
  return current !== undefined && distanceMs(now, current.confirmedAt) >= keyMaxAgeMs
}

/** Configuration that became shorter counts for what was written before. */
export function endOf({ since, until }: RetiringKey, { overlapMs }: KeyWindows): Date {
  return earlier(until, after(since, overlapMs))
}

/** Those that have reached their end, as the clock says now. */
export function endedOf({ retiring }: KeyState, now: Date, windows: KeyWindows): readonly RetiringKey[] {
  return retiring.filter((key) => endOf(key, windows) <= now)
}

/** Either way, as for the current key. */
function countingOf({ retiring }: KeyState, now: Date, windows: KeyWindows): readonly RetiringKey[] {
  return retiring.filter((key) => now < endOf(key, windows) && distanceMs(now, key.since) < windows.overlapMs)
}

/**
 * Drops what has ended. Only with an answer of KMS, which comes by TLS and takes no signature that is minutes off: the
 * clock is right then. So what was retired later than now was so by a clock that was ahead, and begins to end now.
 */
function settle(state: KeyState, now: Date, windows: KeyWindows): Step {
  const retiring = state.retiring.map((key) =>
    key.since <= now ? key : { ...key, since: now, until: earlier(key.until, after(now, windows.overlapMs)) },
  )
  const ended = endedOf({ ...state, retiring }, now, windows)
  return {
    state: { ...state, retiring: retiring.filter((key) => !ended.includes(key)) },
    changes: ended.map((key) => ({ kind: 'retired', key })),
  }
}

/** The current key joins those that end. One that had already expired was trusted no more, and does not. */
function retireCurrent(state: KeyState, now: Date, windows: KeyWindows): readonly RetiringKey[] {
  const { current, retiring } = state
  if (current === undefined || isExpired(state, now, windows)) return retiring
  const others = retiring.filter((key) => !isSameKey(key, current))
  return [...others, { ...current, since: now, until: after(now, windows.overlapMs) }]
}

/** KMS gave `key` for the reference. */
export function confirm(before: KeyState, key: KeptKey, now: Date, windows: KeyWindows): Step {
  const { state, changes } = settle(before, now, windows)
  const { current, gone } = state
  if (current !== undefined && isSameKey(current, key)) {
    // The same objects, so that what others have worked out about a key stays with it.
    return { state: { ...state, current: { ...key, publicKey: current.publicKey } }, changes }
  }
  const retiring = retireCurrent(state, now, windows).filter((one) => !isSameKey(one, key))
  const kept = retiring.toSorted((a, b) => a.until.getTime() - b.until.getTime()).slice(-RETIRING_MAX)
  const crowdedOut = retiring.filter((one) => !kept.includes(one))
  const next = settle({ current: key, retiring: kept, gone: undefined }, now, windows)
  const from = current ?? (gone === undefined ? undefined : state.retiring.at(-1))
  return {
    state: next.state,
    changes: [
      ...changes,
      arrivalOf(key, from, kept),
      ...crowdedOut.map((one) => ({ kind: 'retired', key: one }) as const),
      ...next.changes,
    ],
  }
}

function arrivalOf(key: KeptKey, from: KeptKey | undefined, retiring: readonly RetiringKey[]): KeyChange {
  if (from === undefined) return { kind: 'obtained', key }
  if (isSameKey(from, key)) return { kind: 'returned', key }
  return { kind: 'moved', from, to: key, until: retiring.find((one) => isSameKey(one, from))?.until }
}

/**
 * KMS answered that there is no key. Somebody disabled or deleted it, or is between deleting and creating an alias: it
 * ends as if the alias had moved, so that a mistake can be mended within the overlap and a retirement needs no more.
 */
export function lose(before: KeyState, message: string, now: Date, windows: KeyWindows): Step {
  const { state, changes } = settle(before, now, windows)
  const { current } = state
  if (current === undefined) {
    return { state: { ...state, gone: { since: state.gone?.since ?? now, message } }, changes }
  }
  const retiring = retireCurrent(state, now, windows)
  const until = retiring.find((key) => isSameKey(key, current))?.until
  const next = settle({ current: undefined, retiring, gone: { since: now, message } }, now, windows)
  const gone = { kind: 'gone', key: current, message, until } as const
  return { state: next.state, changes: [...changes, gone, ...next.changes] }
}

/**
 * Why there is nothing to judge by, in one line; undefined where there is. A key that is gone is no such case: KMS
 * answered, so that nobody has to wait for anything to know that its signatures count no more.
 */
export function missingOf(state: KeyState, now: Date, windows: KeyWindows): string | undefined {
  const { current, gone } = state
  if (current === undefined) return gone === undefined ? 'was never obtained' : undefined
  if (!isExpired(state, now, windows)) return undefined
  const at = current.confirmedAt.toISOString()
  return current.confirmedAt <= now
    ? `was last confirmed at ${at}, too long ago`
    : `was confirmed at ${at}, which the clock says is far ahead`
}

/** `missing` is what clients may read, in one line. */
export function keySetOf(
  state: KeyState,
  now: Date,
  windows: KeyWindows,
  missing: string | undefined,
): KeySet {
  if (missing !== undefined) return { kind: 'missing', dependency: 'kms', message: missing }
  const { current } = state
  const always = { validFrom: undefined, isCurrent: true } as const
  const held = countingOf(state, now, windows).map((key) => ({
    ...always,
    key: key.publicKey,
    validUntil: endOf(key, windows),
    isRetiring: true,
  }))
  if (current === undefined) return { kind: 'held', keys: held }
  return {
    kind: 'held',
    keys: [{ ...always, key: current.publicKey, validUntil: undefined, isRetiring: false }, ...held],
  }
}

/** When time alone ends a key of the set next. */
export function nextChangeOf(state: KeyState, now: Date, windows: KeyWindows): Date | undefined {
  const { current, retiring } = state
  const ends = [
    ...(current === undefined ? [] : [expiryOf(current, windows)]),
    ...retiring.map((key) => endOf(key, windows)),
  ]
  return ends.filter((end) => end > now).toSorted((a, b) => a.getTime() - b.getTime())[0]
}
