/** Literal text, and between two of them any text: `['https://a/', '@refs/heads/']` for `https://a/.*@refs/heads/`. */
type Pieces = readonly string[]

/** A character that stands for itself, as it is or escaped, or `.*`: RE2 syntax, of which this is a small part. */
const TOKEN = /\.\*|\\([!-/:-@[-`{-~])|([A-Za-z0-9_/:@%,=~!#&;'"<> -])/y

/**
 * How to match an RE2 pattern of nothing but literal text and `.*`, all of it; undefined where it is of anything else.
 * Nearly all patterns in policies are of this kind. A compiled one takes 60 KiB each time, of which there may be tens of
 * thousands, and ten times as long.
 */
export function compileWildcards(source: string): ((text: string) => boolean) | undefined {
  const pieces = piecesOf(source)
  return pieces === undefined ? undefined : (text) => matchesPieces(pieces, text)
}

function piecesOf(source: string): Pieces | undefined {
  const pieces = ['']
  const token = new RegExp(TOKEN)
  while (token.lastIndex < source.length) {
    const [match, escaped, plain] = token.exec(source) ?? []
    if (match === undefined) return undefined
    const literal = escaped ?? plain
    if (literal === undefined) pieces.push('')
    else pieces.push((pieces.pop() ?? '') + literal)
  }
  return pieces
}

/** Each piece where it is first found is as good as any: what comes between is of no account. */
function matchesPieces(pieces: Pieces, text: string): boolean {
  const [first = '', ...others] = pieces
  const last = others.pop()
  if (last === undefined) return text === first
  // In RE2 a dot is no line feed, and none of the pieces has one.
  if (text.includes('\n') || !text.startsWith(first)) return false
  let at = first.length
  for (const piece of others) {
    const found = text.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
