/**
 * The form in which Go's encoding/json compares a key with a field's name, or a coarser one: `ſ` is `s`, the Kelvin
 * sign is `k`, and every lone surrogate is U+FFFD. Two keys of one fold are one key to some reader.
 */
export function foldKey(key: string): string {
  return key.toWellFormed().toLowerCase().toUpperCase()
}

/** Index just after the JSON string that starts at `start`, or the text's length where it has no end. */
export function stringEnd(text: string, start: number): number {
  let quote = text.indexOf('"', start + 1)
  while (quote !== -1 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1)
  return quote === -1 ? text.length : quote + 1
}

/** The string that a JSON string literal spells, or undefined where it is none. */
export function unquote(literal: string): string | undefined {
  if (!literal.includes('\\')) return literal.slice(1, -1)
  try {
    const value: unknown = JSON.parse(literal)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Folds of the keys of the outermost object and of any further value behind it, as far as the text can be read. */
export function topLevelKeys(text: string): ReadonlySet<string> {
  const keys = new Set<string>()
  let depth = 0
  let keyNext = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      const end = stringEnd(text, at)
      const literal = text.slice(at, end)
      if (keyNext && depth === 1) keys.add(foldKey(unquote(literal) ?? literal))
      keyNext = false
      at = end - 1
    } else if (char === '{' || char === '[') {
      depth++
      keyNext = true
    } else if (char === '}' || char === ']') depth--
    else if (char === ',') keyNext = true
  }
  return keys
}

/** Each run of backslashes is counted once, for the quote after it, so reading a text stays linear. */
function isEscaped(text: string, quote: number): boolean {
  let start = quote
  while (text[start - 1] === '\\') start--
  return (quote - start) % 2 === 1
}
