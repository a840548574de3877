/** One way in which a server asks for authentication: RFC 9110 section 11.3. Names are lower case. */
export type Challenge = { readonly scheme: string; readonly params: ReadonlyMap<string, string> }

/** Longer headers than this are no honest challenge; undici refuses 16 KiB of headers anyway. */
const HEADER_LENGTH_MAX = 8_192

const SEPARATORS = /^[\t ,]*/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/
const TOKEN68 = /^ +[A-Za-z0-9._~+/-]+=*(?=[\t ]*(?:,|$))/
const VALUE = /^[\t ]*=[\t ]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z:/?-]+))/

/** What is left of a field, taken piece by piece. */
class Scanner {
  #rest: string

  constructor(text: string) {
    this.#rest = text
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    const match = pattern.exec(this.#rest) ?? undefined
    if (match !== undefined) this.#rest = this.#rest.slice(match[0].length)
    return match
  }
}

function fieldText(header: string | readonly string[] | undefined): string {
  const text = header === undefined ? '' : typeof header === 'string' ? header : header.join(', ')
  return text.length > HEADER_LENGTH_MAX ? '' : text
}

/**
 * Reads every challenge of a `WWW-Authenticate` field, several fields joined by commas. Commas inside quoted strings
 * separate nothing. Reading ends at the first thing that is not grammar; what came before counts.
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const scanner = new Scanner(fieldText(header))
  const challenges: { scheme: string; params: Map<string, string> }[] = []
  for (;;) {
    scanner.take(SEPARATORS)
    const name = scanner.take(TOKEN)?.[0].toLowerCase()
    if (name === undefined) return challenges
    const value = scanner.take(VALUE)
    if (value === undefined) {
      scanner.take(TOKEN68)
      challenges.push({ scheme: name, params: new Map() })
      continue
    }
    const params = challenges.at(-1)?.params
    if (params === undefined) return challenges
    // The first of two equal names wins, so that an appended one cannot replace it.
    if (!params.has(name)) params.set(name, value[1]?.replaceAll(/\\(.)/g, '$1') ?? value[2] ?? '')
  }
}
