import { isRecord } from './problem.ts'

/** Reading predicates: JSON of whatever shape, by whoever could sign. */

/** What a predicate says in one place, or why it says nothing that could be used. */
export type Claimed<T> =
  | { readonly at: string; readonly value: T; readonly lack?: undefined }
  /** `lack` is a verb phrase: `is missing`. */
  | { readonly at: string; readonly value?: undefined; readonly lack: string }

/** A place in a predicate, and what stands there; undefined: nothing. */
export type Place = { readonly at: string; readonly json: unknown }

/** URIs and names; the longest that are met have a few hundred characters. */
const TEXT_CHARACTERS_MAX = 2048

export function predicatePlace(predicate: unknown): Place {
  return { at: 'predicate', json: predicate }
}

/** Own keys only: what JavaScript gives every object is nobody's claim. */
export function placeAt({ at, json }: Place, ...keys: readonly string[]): Place {
  const [key, ...rest] = keys
  if (key === undefined) return { at, json }
  const value = isRecord(json) && Object.hasOwn(json, key) ? json[key] : undefined
  return placeAt({ at: `${at}.${key}`, json: value }, ...rest)
}

export function textAt({ at, json }: Place): Claimed<string> {
  if (json === undefined || json === null) return { at, lack: 'is missing' }
  if (typeof json !== 'string') return { at, lack: 'is no text' }
  if (json === '') return { at, lack: 'is empty' }
  return json.length > TEXT_CHARACTERS_MAX
    ? { at, lack: `is longer than ${TEXT_CHARACTERS_MAX} characters` }
    : { at, value: json }
}

export function listAt({ at, json }: Place, entriesMax: number): Claimed<readonly Place[]> {
  if (json === undefined || json === null) return { at, lack: 'is missing' }
  if (!Array.isArray(json)) return { at, lack: 'is no list' }
  if (json.length > entriesMax) return { at, lack: `has more than ${entriesMax} entries` }
  const entries: readonly unknown[] = json
  return { at, value: entries.map((entry, index) => ({ at: `${at}[${index}]`, json: entry })) }
}

/** The same claim, read as something else: `read` gives the value, or what is wrong with it as a verb phrase. */
export function refine<A, B>(
  claimed: Claimed<A>,
  read: (value: A) => { readonly value: B } | { readonly lack: string },
): Claimed<B> {
  const { at } = claimed
  return claimed.lack === undefined ? { at, ...read(claimed.value) } : { at, lack: claimed.lack }
}

/** `predicate.builder.id is missing`. */
export function lackText(claimed: { readonly at: string; readonly lack: string }): string {
  return `${claimed.at} ${claimed.lack}`
}
