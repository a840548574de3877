import {
  celLiteral,
  celMember,
  underivable,
  type Derived,
  type Literal,
} from '../../policy/cluster-image-policy/cel-text.ts'
import { isRecord } from '../../policy/problem.ts'
import { wildcardPattern } from './identity.ts'

/**
 * Kyverno's conditions over the predicate of an attestation, as CEL over the statement: members of the predicate, and
 * `regex_match` of one, compared with constants.
 */
export function celOfConditions(blocks: readonly unknown[]): Derived {
  const conditions: string[] = []
  for (const block of blocks) {
    if (!isRecord(block)) return underivable('a block is no mapping')
    for (const [mode, list] of Object.entries(block)) {
      if ((mode !== 'any' && mode !== 'all') || !Array.isArray(list))
        return underivable(`${JSON.stringify(mode)} is neither any nor all`)
      const parts = list.map((condition) => celOf(condition))
      const unknown = parts.find((part) => !part.ok)
      if (unknown !== undefined) return unknown
      const texts = parts.flatMap((part) => (part.ok ? part.conditions : []))
      if (mode === 'all') conditions.push(...texts)
      else if (texts.length > 0) conditions.push(texts.join(' || '))
    }
  }
  return { ok: true, conditions }
}

const SIGNS: Readonly<Record<string, string>> = {
  Equals: '==',
  Equal: '==',
  NotEquals: '!=',
  NotEqual: '!=',
  GreaterThan: '>',
  GreaterThanOrEquals: '>=',
  LessThan: '<',
  LessThanOrEquals: '<=',
}
const MEMBER = /^\{\{\s*(?<member>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[0-9]{1,6}\])*)\s*\}\}$/
const MATCH =
  /^\{\{\s*regex_match\(\s*'(?<pattern>[^']*)'\s*,\s*'?\{\{\s*(?<member>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*\}\}'?\s*\)\s*\}\}$/

function celOf(condition: unknown): Derived {
  if (!isRecord(condition)) return underivable('a condition is no mapping')
  const { value } = condition
  const [key, operator] = [String(condition['key']), String(condition['operator'])]
  const match = MATCH.exec(key)?.groups
  if (match !== undefined) return matchOf(match, operator, value)
  const member = MEMBER.exec(key)?.groups?.['member']
  if (member === undefined) return underivable(`the key ${JSON.stringify(key)} is more than a member`)
  const path = celPath(member)
  if (operator === 'In' || operator === 'AnyIn') return listOf(path, value)
  const sign = SIGNS[operator]
  if (sign === undefined) return underivable(`the operator ${JSON.stringify(operator)} has no equal`)
  return typeof value === 'string' ? textOf(path, sign, value) : plainOf(path, sign, value)
}

function plainOf(path: string, sign: string, value: unknown): Derived {
  if (!isLiteral(value)) return underivable('a value is more than a constant')
  return single(`${path} ${sign} ${celLiteral(value)}`)
}

/** Texts are wildcards in Kyverno; and numbers, quantities, durations or versions, where they look like one. */
function textOf(path: string, sign: string, value: string): Derived {
  if (sign !== '==' && sign !== '!=') return underivable('it orders texts by what they stand for')
  if (sign === '!=' && /^[+-]?[0-9.]/.test(value))
    return underivable('a text that is another one may stand for the same quantity')
  if (!/[*?]|\{\{/.test(value)) return single(`${path} ${sign} ${celLiteral(value)}`)
  if (/\?|\{\{/.test(value)) return underivable('a value is more than a constant')
  const pattern = celLiteral(`^${wildcardPattern(value)}$`)
  return single(`${sign === '!=' ? '!' : ''}${path}.matches(${pattern})`)
}

function matchOf(groups: Partial<Record<string, string>>, operator: string, value: unknown): Derived {
  const sign = SIGNS[operator]
  if (typeof value !== 'boolean' || (sign !== '==' && sign !== '!='))
    return underivable('regex_match is compared with no truth value')
  const not = (sign === '==') === value ? '' : '!'
  return single(`${not}${celPath(groups['member'] ?? '')}.matches(${celLiteral(groups['pattern'] ?? '')})`)
}

function listOf(path: string, value: unknown): Derived {
  const values = Array.isArray(value) ? value : [value]
  const literals = values.filter((one) => isLiteral(one))
  if (
    literals.length !== values.length ||
    literals.some((one) => typeof one === 'string' && /[*?{]/.test(one))
  ) {
    return underivable('a list has more than constants')
  }
  return single(`${path} in [${literals.map(celLiteral).join(', ')}]`)
}

function single(text: string): Derived {
  return { ok: true, conditions: [text] }
}

function celPath(member: string): string {
  let path = 'statement.predicate'
  for (const [, name, index] of `.${member}`.matchAll(/\.(\w+)|\[([0-9]+)\]/g)) {
    path = celMember(path, index === undefined ? (name ?? '') : Number(index))
  }
  return path
}

function isLiteral(value: unknown): value is Literal {
  return (
    value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  )
}
