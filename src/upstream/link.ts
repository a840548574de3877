/** One entry of a Link field: RFC 8288 section 3. */
const LINK = /<([^<>]*)>((?:[\t ]*;[\t ]*[a-z*]+[\t ]*(?:=[\t ]*(?:"[^"]*"|[^\s",;]+))?)*)/gi
const REL_NEXT = /;[\t ]*rel[\t ]*=[\t ]*(?:"(?:[^"]*[\t ])?next(?:[\t ][^"]*)?"|next(?=[\t ;]|$))/i

const LINK_LENGTH_MAX = 8_192

/** The target of the link with `rel="next"`, as it was written, or undefined where there is none. */
export function nextLink(header: string | readonly string[] | undefined): string | undefined {
  const text = header === undefined ? '' : typeof header === 'string' ? header : header.join(', ')
  if (text.length > LINK_LENGTH_MAX) return undefined
  for (const match of text.matchAll(LINK)) {
    if (REL_NEXT.test(match[2] ?? '')) return match[1]
  }
  return undefined
}
