/** Decoded parameters, each once. */
export type Query = ReadonlyMap<string, string>

const PARAMETER = /^(?:[A-Za-z0-9\-._~!$'()*+,;=:@/?]|%[0-9A-Fa-f]{2})+$/
const PRINTABLE = /^[\x20-\x7e]*$/

/**
 * The parameters of a query (RFC 3986 section 3.4), or undefined where it breaks the grammar, decodes to anything but
 * printable ASCII, or has one name twice, however encoded. An empty value is an absent parameter; `+` is itself.
 */
export function parseQuery(text: string | undefined): Query | undefined {
  const query = new Map<string, string>()
  const names = new Set<string>()
  if (text === undefined || text === '') return query
  for (const parameter of text.split('&')) {
    if (!PARAMETER.test(parameter)) return undefined
    const equals = parameter.indexOf('=')
    const name = decode(equals === -1 ? parameter : parameter.slice(0, equals))
    const value = decode(equals === -1 ? '' : parameter.slice(equals + 1))
    if (name === undefined || name === '' || value === undefined || names.has(name)) return undefined
    names.add(name)
    if (value !== '') query.set(name, value)
  }
  return query
}

function decode(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text)
    return PRINTABLE.test(decoded) ? decoded : undefined
  } catch {
    return undefined
  }
}
