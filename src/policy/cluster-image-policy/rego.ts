import {
  celLiteral,
  celMember,
  POLICY_CHARACTERS_MAX,
  underivable,
  type Derived,
  type Literal,
} from './cel-text.ts'

/**
 * What a Rego policy for one attestation demands, as CEL over the statement, for the idioms that people write: rules
 * `isCompliant { … }` whose lines compare a member of `input` with a constant, search it, or count it.
 */
export function celOfRego(source: string, predicateType: string): Derived {
  if (source.length > POLICY_CHARACTERS_MAX) return underivable(`it has ${source.length} characters`)
  const bodies = bodiesOf(source)
  if (bodies?.some((body) => body.trim() === '') === true) return underivable('a rule has no lines')
  if (bodies === undefined) return underivable('it has more than the rule isCompliant')
  const own = `statement.predicateType == ${celLiteral(predicateType)}`
  const alternatives: (readonly string[])[] = []
  for (const body of bodies) {
    const conditions = conditionsOf(body)
    if (typeof conditions === 'string')
      return underivable(`the line ${JSON.stringify(conditions)} is more than a comparison`)
    alternatives.push(conditions.filter((condition) => condition !== own))
  }
  // One rule that asks for nothing more makes the others idle.
  if (alternatives.some((conditions) => conditions.length === 0)) return { ok: true, conditions: [] }
  const [only, ...others] = alternatives
  if (only !== undefined && others.length === 0) return { ok: true, conditions: only }
  return {
    ok: true,
    conditions: [alternatives.map((conditions) => `(${conditions.join(' && ')})`).join(' || ')],
  }
}

const RULE = /^isCompliant(?:\s*:?=\s*true)?(?:\s+if)?\s*\{([^{}]*)\}\s*/

function bodiesOf(source: string): readonly string[] | undefined {
  const lines = source.split('\n').map((line) => line.replace(/^\s*#.*$/, '').trim())
  const isHead = (line: string): boolean =>
    /^(?:package sigstore|import (?:rego\.v1|future\.keywords(?:\.\w+)?)|default isCompliant\s*:?=\s*false)$/.test(
      line,
    )
  let rest = lines
    .filter((line) => !isHead(line))
    .join('\n')
    .trim()
  const bodies: string[] = []
  if (!lines.includes('package sigstore')) return undefined
  while (rest !== '') {
    const rule = RULE.exec(rest)
    if (rule === null) return undefined
    bodies.push(rule[1] ?? '')
    rest = rest.slice(rule[0].length)
  }
  return bodies.length === 0 ? undefined : bodies
}

const MEMBER = String.raw`[A-Za-z_]\w*(?:\.\w+|\["[^"\\]*"\]|\[(?:_|[0-9]{1,6})\])*`
const LITERAL = String.raw`"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?|true|false|null`
const ASSIGNMENT = new RegExp(`^(?<name>[A-Za-z_]\\w*)\\s*:=\\s*(?<member>${MEMBER})$`)
const COMPARISON = new RegExp(
  `^(?<count>count\\()?(?<member>${MEMBER})(?<close>\\))?\\s*(?<sign>==|!=|<=|>=|<|>)\\s*(?<literal>${LITERAL})$`,
)
const SEARCH = new RegExp(
  `^(?<function>startswith|endswith|contains)\\((?<member>${MEMBER}),\\s*(?<literal>"(?:[^"\\\\]|\\\\.)*")\\)$`,
)
const MATCH = new RegExp(
  `^(?:regex\\.match|re_match)\\((?<literal>"(?:[^"\\\\]|\\\\.)*"|\`[^\`]*\`),\\s*(?<member>${MEMBER})\\)$`,
)
const SEARCHES: Readonly<Record<string, string>> = {
  startswith: 'startsWith',
  endswith: 'endsWith',
  contains: 'contains',
}

/** The conditions of one rule, or the line that is none. */
function conditionsOf(body: string): readonly string[] | string {
  const names = new Map([['input', 'input']])
  // What is assigned must be there, and is asked for in CEL only where it is used.
  const unused = new Map<string, string>()
  const conditions: string[] = []
  for (const line of linesOf(body)) {
    const assigned = assignmentOf(line, names)
    if (assigned !== undefined) {
      names.set(assigned.name, assigned.member)
      unused.set(assigned.name, line)
      continue
    }
    const condition = conditionOf(line, names)
    if (condition === undefined) return line
    for (const word of line.match(/\w+/g) ?? []) unused.delete(word)
    conditions.push(condition)
  }
  const [first] = unused.values()
  return first ?? conditions
}

function linesOf(body: string): readonly string[] {
  const lines = body.split(/[\n;]/).map((line) => line.trim())
  return lines.filter((line) => line !== '')
}

function assignmentOf(
  line: string,
  names: ReadonlyMap<string, string>,
): { readonly name: string; readonly member: string } | undefined {
  const { name, member } = ASSIGNMENT.exec(line)?.groups ?? {}
  const target = member === undefined ? undefined : resolve(member, names)
  if (name === undefined || target === undefined || target.includes('[_]')) return undefined
  return { name, member: target }
}

function conditionOf(line: string, names: ReadonlyMap<string, string>): string | undefined {
  const groups = (COMPARISON.exec(line) ?? SEARCH.exec(line) ?? MATCH.exec(line))?.groups
  if (groups === undefined) return undefined
  const member = resolve(groups['member'] ?? '', names)
  const literal = literalOf(groups['literal'] ?? '')
  if (member === undefined || literal === undefined) return undefined
  if ((groups['count'] === undefined) !== (groups['close'] === undefined)) return undefined
  return overElements(member, (path) => {
    const search = SEARCHES[groups['function'] ?? '']
    if (search !== undefined) return `${path}.${search}(${celLiteral(literal)})`
    if (groups['sign'] === undefined) return `${path}.matches(${celLiteral(literal)})`
    const left = groups['count'] === undefined ? path : `size(${path})`
    return `${left} ${groups['sign']} ${celLiteral(literal)}`
  })
}

/** The member with its own name replaced by what it stands for; undefined where that is nothing of the input. */
function resolve(member: string, names: ReadonlyMap<string, string>): string | undefined {
  const [name = ''] = /^\w+/.exec(member) ?? []
  const base = names.get(name)
  return base === undefined ? undefined : base + member.slice(name.length)
}

/** `[_]` is some element: `exists` in CEL. */
function overElements(member: string, condition: (path: string) => string): string {
  const [first = '', ...others] = member.slice('input'.length).split('[_]')
  const write = (base: string, steps: string, rest: readonly string[]): string => {
    const path = celPath(base, steps)
    const [next, ...later] = rest
    if (next === undefined) return condition(path)
    const element = rest.length === others.length ? 'e' : `e${others.length - rest.length + 1}`
    return `${path}.exists(${element}, ${write(element, next, later)})`
  }
  return write('statement', first, others)
}

function celPath(base: string, steps: string): string {
  let path = base
  for (const [, name, key, index] of steps.matchAll(/\.(\w+)|\["([^"\\]*)"\]|\[([0-9]+)\]/g)) {
    path = celMember(path, index === undefined ? (name ?? key ?? '') : Number(index))
  }
  return path
}

function literalOf(text: string): Literal | undefined {
  if (text.startsWith('`')) return text.slice(1, -1)
  try {
    const value: unknown = JSON.parse(text)
    return isLiteral(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isLiteral(value: unknown): value is Literal {
  return (
    value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  )
}
