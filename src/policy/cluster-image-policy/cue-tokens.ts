export type CueToken = {
  readonly kind: 'name' | 'text' | 'number' | 'sign' | 'end-of-line'
  /** Of a text its content; else as written. */
  readonly text: string
}

const TOKEN =
  /(?<space>[ \t\r]+|\/\/[^\n]*)|(?<line>\n)|(?<text>"(?:[^"\\\n]|\\.)*")|(?<number>-?[0-9]+(?:\.[0-9]+)?(?![\w.]))|(?<name>[A-Za-z_$#][\w$#]*)|(?<sign>\.\.\.|=~|!~|!=|<=|>=|[{}[\]():,&|<>.*?])/y

/** Undefined where there is something that CUE's closed subset here does not have: interpolation, multi-line texts. */
export function readCueTokens(source: string): readonly CueToken[] | undefined {
  const tokens: CueToken[] = []
  const pattern = new RegExp(TOKEN)
  while (pattern.lastIndex < source.length) {
    const groups = pattern.exec(source)?.groups
    if (groups === undefined) return undefined
    const token = tokenOf(groups)
    if (token === 'unreadable') return undefined
    if (token !== undefined) tokens.push(token)
  }
  return tokens
}

function tokenOf(groups: Partial<Record<string, string>>): CueToken | 'unreadable' | undefined {
  const { line, text, number, name, sign } = groups
  if (line !== undefined) return { kind: 'end-of-line', text: line }
  if (number !== undefined) return { kind: 'number', text: number }
  if (name !== undefined) return { kind: 'name', text: name }
  if (sign !== undefined) return { kind: 'sign', text: sign }
  if (text === undefined) return undefined
  try {
    // CUE's simple escapes are JSON's; an interpolation is none.
    const content: unknown = JSON.parse(text)
    return typeof content === 'string' ? { kind: 'text', text: content } : 'unreadable'
  } catch {
    return 'unreadable'
  }
}
