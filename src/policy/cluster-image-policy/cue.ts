import {
  celLiteral,
  celMember,
  POLICY_CHARACTERS_MAX,
  underivable,
  type Derived,
  type Literal,
} from './cel-text.ts'
import { readCueTokens, type CueToken } from './cue-tokens.ts'

/**
 * What a CUE policy for one attestation demands, as CEL over the statement, for the closed subset that people write:
 * structs of literal values, comparisons, regular expressions, alternatives, lists, and `time.Parse` of a constant.
 * A field that is not there passes in CUE as cosign runs it (no `Concrete`), and fails in CEL: whoever shows the text says so.
 */
export function celOfCue(source: string, predicateType: string): Derived {
  if (source.length > POLICY_CHARACTERS_MAX) return underivable(`it has ${source.length} characters`)
  const tokens = readCueTokens(source)
  if (tokens === undefined) return underivable('it has interpolations or multi-line texts')
  try {
    const conditions = new CueReader(tokens).read()
    const own = `statement.predicateType == ${celLiteral(predicateType)}`
    return { ok: true, conditions: conditions.filter((condition) => condition !== own) }
  } catch (error) {
    if (error instanceof UnknownCue) return underivable(error.message)
    throw error
  }
}

/** Something outside of the subset. */
class UnknownCue extends Error {
  override readonly name = 'UnknownCue'
}

const STATEMENT_FIELDS: ReadonlySet<string> = new Set(['_type', 'predicateType', 'subject', 'predicate'])
const COMPARISONS: ReadonlySet<string> = new Set(['<', '<=', '>', '>=', '!='])
/** Those that CEL calls the same. */
const TYPES: ReadonlySet<string> = new Set(['string', 'bool'])
const DEPTH_MAX = 32

/** A value that a later field refers to. */
type Binding = { readonly value: Literal; readonly isTime: boolean }

class CueReader {
  readonly #tokens: readonly CueToken[]
  readonly #bindings = new Map<string, Binding>()
  readonly #conditions: string[] = []
  #isTimeImported = false
  #at = 0

  constructor(tokens: readonly CueToken[]) {
    this.#tokens = tokens
  }

  read(): readonly string[] {
    this.#fields('statement', 0)
    if (this.#peek() !== undefined)
      throw new UnknownCue(`it has ${JSON.stringify(this.#peek()?.text)} out of place`)
    const isTimeUsed = [...this.#bindings.values()].some(({ isTime }) => isTime)
    if (this.#isTimeImported !== isTimeUsed) throw new UnknownCue('its imports are not those that it uses')
    return this.#conditions
  }

  #fields(base: string, depth: number): void {
    for (;;) {
      while (this.#takes('end-of-line') || this.#takesSign(',')) continue
      const next = this.#peek()
      if (next === undefined || next.text === '}') return
      if (depth === 0 && next.kind === 'name' && next.text === 'import') this.#import()
      else this.#field(base, depth)
    }
  }

  #import(): void {
    this.#next()
    const library = this.#next()
    if (library?.text !== 'time') throw new UnknownCue('it imports more than time')
    this.#isTimeImported = true
  }

  #field(base: string, depth: number): void {
    if (depth > DEPTH_MAX) throw new UnknownCue(`it is nested more than ${DEPTH_MAX} deep`)
    const label = this.#next()
    if (label === undefined || (label.kind !== 'name' && label.kind !== 'text')) {
      throw new UnknownCue(`it has ${JSON.stringify(label?.text)} where a field is expected`)
    }
    if (label.text.startsWith('#') || !this.#takesSign(':')) {
      throw new UnknownCue(`${JSON.stringify(label.text)} is more than a field with a value`)
    }
    if (depth > 0 || STATEMENT_FIELDS.has(label.text))
      return this.#value(celMember(base, label.text), depth + 1)
    if (this.#bindings.has(label.text)) throw new UnknownCue(`${label.text} is there twice`)
    this.#bindings.set(label.text, this.#binding())
  }

  /** A field that no statement has constrains nothing: it is there for others to refer to. */
  #binding(): Binding {
    const literal = this.#literal()
    if (literal !== undefined) return { value: literal, isTime: false }
    const words = ['time', '.', 'Parse', '(', 'time', '.', 'RFC3339', ',']
    if (!words.every((word) => this.#next()?.text === word)) throw new UnknownCue('it computes values')
    const moment = this.#literal()
    const isMoment = typeof moment === 'string' && Number.isFinite(Date.parse(moment))
    if (!isMoment || !this.#takesSign(')')) throw new UnknownCue('it computes values')
    return { value: moment, isTime: true }
  }

  #value(path: string, depth: number): void {
    const [first, second] = [this.#peek(), this.#tokens[this.#at + 1]]
    const isLabel = first?.kind === 'name' || first?.kind === 'text'
    if (isLabel && second?.text === ':') return this.#field(path, depth)
    do this.#part(path, depth)
    while (this.#takesSign('&'))
  }

  #part(path: string, depth: number): void {
    if (this.#takesSign('{')) {
      const before = this.#conditions.length
      this.#fields(path, depth)
      if (this.#conditions.length === before) throw new UnknownCue('it has a struct without fields')
      if (!this.#takesSign('}')) throw new UnknownCue('a struct does not end')
      return
    }
    if (this.#takesSign('[')) return this.#list(path)
    const literal = this.#literal()
    if (literal !== undefined) return this.#alternatives(path, literal)
    this.#constraint(path)
  }

  #alternatives(path: string, first: Literal): void {
    const values = [first]
    while (this.#takesSign('|')) values.push(this.#expectLiteral())
    const [only] = values
    if (values.length === 1 && only !== undefined) this.#conditions.push(`${path} == ${celLiteral(only)}`)
    else this.#conditions.push(`${path} in [${values.map(celLiteral).join(', ')}]`)
  }

  #list(path: string): void {
    const values: string[] = []
    while (!this.#takesSign(']')) {
      values.push(celLiteral(this.#expectLiteral()))
      this.#takesSign(',')
    }
    this.#conditions.push(`${path} == [${values.join(', ')}]`)
  }

  #constraint(path: string): void {
    const { kind, text } = this.#next() ?? { kind: 'end-of-line', text: '' }
    if (kind === 'sign' && COMPARISONS.has(text)) return this.#comparison(path, text)
    if (text === '=~' || text === '!~') return this.#search(path, text === '!~' ? '!' : '')
    if (kind !== 'name' || !TYPES.has(text))
      throw new UnknownCue(`${JSON.stringify(text)} is more than a value`)
    this.#conditions.push(`type(${path}) == ${text}`)
  }

  #search(path: string, not: string): void {
    const pattern = this.#expectLiteral()
    if (typeof pattern !== 'string') throw new UnknownCue('a pattern is no text')
    this.#conditions.push(`${not}${path}.matches(${celLiteral(pattern)})`)
  }

  #comparison(path: string, sign: string): void {
    const literal = this.#literal()
    if (literal !== undefined) {
      this.#conditions.push(`${path} ${sign} ${celLiteral(literal)}`)
      return
    }
    const binding = this.#bindings.get(this.#next()?.text ?? '')
    if (binding === undefined) throw new UnknownCue('it compares with something that is no value')
    const value = celLiteral(binding.value)
    const sides = binding.isTime ? [`timestamp(${path})`, `timestamp(${value})`] : [path, value]
    this.#conditions.push(sides.join(` ${sign} `))
  }

  #expectLiteral(): Literal {
    const literal = this.#literal()
    if (literal === undefined) throw new UnknownCue('it has lists or alternatives of more than plain values')
    return literal
  }

  #literal(): Literal | undefined {
    const token = this.#peek()
    if (token === undefined) return undefined
    const value = literalOf(token)
    if (value !== undefined) this.#at++
    return value
  }

  #peek(): CueToken | undefined {
    return this.#tokens[this.#at]
  }

  #next(): CueToken | undefined {
    return this.#tokens[this.#at++]
  }

  #takes(kind: CueToken['kind']): boolean {
    if (this.#peek()?.kind !== kind) return false
    this.#at++
    return true
  }

  #takesSign(text: string): boolean {
    const token = this.#peek()
    if (token?.kind !== 'sign' || token.text !== text) return false
    this.#at++
    return true
  }
}

function literalOf({ kind, text }: CueToken): Literal | undefined {
  if (kind === 'text') return text
  if (kind === 'number') return Number(text)
  if (kind !== 'name') return undefined
  if (text === 'true' || text === 'false') return text === 'true'
  return text === 'null' ? null : undefined
}
