import {
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COMMA,
  foldKey,
  OPEN_ARRAY,
  OPEN_OBJECT,
  QUOTE,
  stringEnd,
  unquoted,
} from './json-text.ts'

const DEPTH_MAX = 32
/** Keys and elements of the whole document. A manifest of 1000 entries has some ten thousand; so many take 0.1 s. */
const VALUES_MAX = 50_000

/** With ignoreBOM the mark stays in the text, where JSON.parse refuses it. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export type StrictJsonErrorCode = 'utf8' | 'syntax' | 'duplicate-key' | 'case-variant-key' | 'depth' | 'size'

/** Why bytes do not mean one thing to every JSON reader. `message` goes on from "a document that …" and may quote a key from outside. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError'
  readonly code: StrictJsonErrorCode

  constructor(code: StrictJsonErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/**
 * Parses exactly one JSON value (RFC 8259) that no reader can take for another: UTF-8 without BOM, nothing after it,
 * and in every object no two keys that some reader takes for the same. Throws StrictJsonError. The caller limits bytes.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = decode(bytes)
  // The keys come first so that their limits also hold for the memory that JSON.parse takes. Text that is not JSON may
  // be refused here for another reason than its syntax, but text that is JSON is seen here exactly as JSON.parse does.
  checkKeys(text)
  try {
    const value: unknown = JSON.parse(text)
    return value
  } catch (cause) {
    throw new StrictJsonError('syntax', 'is not exactly one JSON value', cause)
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes)
  } catch (cause) {
    throw new StrictJsonError('utf8', 'is not UTF-8', cause)
  }
}

/** Keys of one open object, by fold; an open array has none. */
type Keys = Map<string, string> | undefined

/**
 * One pass over the text that looks at keys only. Annotations are under the same rule as fields: a reader that matches
 * keys without case may take either value, and no tool writes such a pair.
 */
function checkKeys(text: string): void {
  const open: Keys[] = []
  let keys: Keys
  let keyNext = false
  let values = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = stringEnd(text, at)
        if (keyNext && keys !== undefined) addKey(keys, text.slice(at + 1, end - 1))
        keyNext = false
        at = end - 1
        break
      }
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        checkLimits(open.length, ++values)
        open.push(keys)
        keyNext = text.charCodeAt(at) === OPEN_OBJECT
        keys = keyNext ? new Map() : undefined
        break
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        keys = open.pop()
        break
      case COMMA:
        checkLimits(0, ++values)
        keyNext = keys !== undefined
    }
  }
}

function checkLimits(depth: number, values: number): void {
  if (depth === DEPTH_MAX) throw new StrictJsonError('depth', `nests deeper than ${DEPTH_MAX}`)
  if (values > VALUES_MAX) throw new StrictJsonError('size', `has more than ${VALUES_MAX} values`)
}

/** `text`: between the quotes. */
function addKey(keys: Map<string, string>, text: string): void {
  const key = unquoted(text)
  if (key === undefined) throw new StrictJsonError('syntax', 'has a key that is not a JSON string')
  const fold = foldKey(key)
  const before = keys.get(fold)
  if (before === key) throw new StrictJsonError('duplicate-key', `has the key ${quoteKey(key)} twice`)
  if (before !== undefined) {
    throw new StrictJsonError(
      'case-variant-key',
      `has keys ${quoteKey(before)} and ${quoteKey(key)} that differ only by case`,
    )
  }
  keys.set(fold, key)
}

function quoteKey(key: string): string {
  return JSON.stringify(key.slice(0, 64))
}
