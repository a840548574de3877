import { STEP_BYTES, type Steps } from './steps.ts'

export const [QUOTE, COMMA] = [0x22, 0x2c]
export const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
const ASCII = /^[\x20-\x7e]*$/

/**
 * The form in which Go's encoding/json compares a key with a field's name, or a coarser one: `ſ` is `s`, the Kelvin
 * sign is `k`, and every lone surrogate is U+FFFD. Two keys of one fold are one key to some reader.
 */
export function foldKey(key: string): string {
  // Nearly every key, of which this is the same in a fraction of the time.
  return ASCII.test(key) ? key.toUpperCase() : key.toWellFormed().toLowerCase().toUpperCase()
}

/** Index just after the JSON string that starts at `start`, or the text's length where it has no end. */
export function stringEnd(text: string, start: number): number {
  let quote = text.indexOf('"', start + 1)
  while (quote !== -1 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1)
  return quote === -1 ? text.length : quote + 1
}

/** The string that a JSON string literal with this between its quotes spells, or undefined where it is none. */
export function unquoted(text: string): string | undefined {
  if (!text.includes('\\')) return text
  try {
    const value: unknown = JSON.parse(`"${text}"`)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

const [BACKSLASH, LETTER_U] = [0x5c, 0x75]

/**
 * Which of the names (upper case ASCII, no two with the same first letter) some reader may find as a key of the
 * outermost object or of any further value behind it, as far as the bytes can be read. One pass, in
 * steps, since somebody else chooses how many keys there are and how they are written.
 */
export function* topLevelNames(bytes: Uint8Array, names: readonly string[]): Steps<ReadonlySet<string>> {
  const found = new Set<string>()
  let depth = 0
  let keyNext = false
  let stringStart = -1
  for (let at = 0, pause = STEP_BYTES; at < bytes.length; at++) {
    if (at >= pause) {
      pause += STEP_BYTES
      yield
    }
    const byte = bytes[at] ?? 0
    if (stringStart !== -1) {
      if (byte === BACKSLASH) at++
      if (byte !== QUOTE) continue
      if (keyNext && depth === 1) addName(found, bytes.subarray(stringStart, at), names)
      stringStart = -1
      keyNext = false
      continue
    }
    if (byte === QUOTE) stringStart = at + 1
    depth += nesting(byte)
    if (byte === OPEN_OBJECT || byte === COMMA) keyNext = true
  }
  return found
}

/** One level in at `[` and `{`, one out at `]` and `}`. */
function nesting(byte: number): -1 | 0 | 1 {
  if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) return 1
  return byte === CLOSE_OBJECT || byte === CLOSE_ARRAY ? -1 : 0
}

function addName(found: Set<string>, key: Uint8Array, names: readonly string[]): void {
  const first = letterAt(key, 0)
  for (const name of names) if (name.charCodeAt(0) === first && spells(key, name)) found.add(name)
}

function spells(key: Uint8Array, name: string): boolean {
  let at = 0
  for (let index = 0; index < name.length; index++) {
    if (letterAt(key, at) !== name.charCodeAt(index)) return false
    const byte = key[at] ?? 0
    at += byte === BACKSLASH ? 6 : byte < 0x80 ? 1 : 2
  }
  return at === key.length
}

/** The upper case ASCII letter that the JSON text at `at` stands for by Unicode simple case folding, or another number. */
function letterAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] ?? 0
  if (byte === BACKSLASH) return bytes[at + 1] === LETTER_U ? upperCase(hexAt(bytes, at + 2)) : 0
  if (byte < 0x80) return upperCase(byte)
  // Every other character that folds to an ASCII letter of a name has two bytes in UTF-8.
  const next = bytes[at + 1] ?? 0
  return byte < 0xe0 && (next & 0xc0) === 0x80 ? upperCase(((byte & 0x1f) << 6) | (next & 0x3f)) : 0
}

function upperCase(code: number): number {
  if (code >= 0x61 && code <= 0x7a) return code - 0x20
  if (code === 0x17f) return 0x53
  // The dotless i: not in simple folding, but Java's equalsIgnoreCase takes it for an i.
  return code === 0x131 ? 0x49 : code
}

function hexAt(bytes: Uint8Array, start: number): number {
  let code = 0
  for (let at = start; at < start + 4; at++) code = code * 16 + hexDigit(bytes[at] ?? 0)
  return code
}

/** NaN where it is none, which equals no letter. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : Number.NaN
}

/** Each run of backslashes is counted once, for the quote after it, so reading a text stays linear. */
function isEscaped(text: string, quote: number): boolean {
  let start = quote
  while (text.charCodeAt(start - 1) === BACKSLASH) start--
  return (quote - start) % 2 === 1
}
