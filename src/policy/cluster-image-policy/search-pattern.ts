/**
 * Where a pattern is more than atoms one after another, its ends are not touched: alternatives bind weaker than anchors,
 * flags may change what an anchor means, and a quotation may hold what looks like either.
 */
const NOT_PLAIN = /\(\?(?![:P<])|\\[QAzZ]/

/**
 * policy-controller and Kyverno search a text for a regular expression; a policy's pattern must match the whole of it.
 * This is the one that matches the same texts. It differs for texts with line breaks, which no identity has.
 */
export function wholePattern(search: string): string {
  if (NOT_PLAIN.test(search) || hasTopLevelAlternative(search)) return `.*(?:${search}).*`
  const isAnchored = search.startsWith('^') && !/^\^[*+?{]/.test(search)
  const body = isAnchored ? search.slice(1) : search.startsWith('.*') ? search : `.*${search}`
  if (endsUnescaped(body, '$')) return body.slice(0, -1)
  return endsUnescaped(body, '.*') ? body : `${body}.*`
}

/** Whether the pattern finds something in every text, so that it asks for nothing. */
export function findsAnything(search: string): boolean {
  return /^\^?(?:\(\.[*+]\)|\.[*+]\??)*\$?$/.test(search)
}

/** The suffix, and not an escaped character with the rest of it. */
function endsUnescaped(source: string, suffix: string): boolean {
  if (!source.endsWith(suffix)) return false
  const before = source.slice(0, -suffix.length)
  const escapes = before.length - before.replace(/\\+$/, '').length
  return escapes % 2 === 0
}

function hasTopLevelAlternative(source: string): boolean {
  let depth = 0
  // A class may begin with its own closing bracket; what is escaped or in a class means nothing here.
  for (const [token] of source.matchAll(/\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]/gs)) {
    if (token === '(') depth++
    else if (token === ')') depth--
    else if (token === '|' && depth === 0) return true
  }
  return false
}
