import { CelScalar, type CelType } from '@bufbuild/cel'

/** What is known of a value before there is one. */
export type Type =
  /** Of JSON whose shape nobody has promised. */
  | { readonly kind: 'any' }
  | { readonly kind: 'scalar'; readonly name: string }
  | { readonly kind: 'list'; readonly of: Type }
  | { readonly kind: 'map'; readonly of: Type }
  /** A map whose keys are known; each may be missing. */
  | { readonly kind: 'fields'; readonly fields: ReadonlyMap<string, Type> }

export const ANY: Type = { kind: 'any' }
export const BOOL = scalar('bool')
export const INT = scalar('int')
export const STRING = scalar('string')
export const TYPE = scalar('type')

const NUMBERS: ReadonlySet<string> = new Set(['int', 'uint', 'double'])

/** Names of types are expressions too: `type(x) == string`. */
export const TYPE_NAMES: ReadonlySet<string> = new Set([
  'bool',
  'bytes',
  'double',
  'int',
  'list',
  'map',
  'null_type',
  'string',
  'type',
  'uint',
])

export function scalar(name: string): Type {
  return { kind: 'scalar', name }
}

export function list(of: Type): Type {
  return { kind: 'list', of }
}

export function map(of: Type): Type {
  return { kind: 'map', of }
}

export function fields(entries: Readonly<Record<string, Type>>): Type {
  return { kind: 'fields', fields: new Map(Object.entries(entries)) }
}

export function ofCel(type: CelType): Type {
  if (type === CelScalar.DYN) return ANY
  if (type.kind === 'list') return list(ofCel(type.element))
  if (type.kind === 'map') return map(ofCel(type.value))
  return scalar(type.name)
}

/** Whether a value of the one may turn out to be one of the other. */
export function fits(actual: Type, expected: Type): boolean {
  if (actual.kind === 'any' || expected.kind === 'any') return true
  if (actual.kind === 'scalar') return expected.kind === 'scalar' && actual.name === expected.name
  if (actual.kind === 'list') return expected.kind === 'list' && fits(actual.of, expected.of)
  return expected.kind === 'map' || expected.kind === 'fields'
}

/** Whether `==` can ever be true of them: numbers are compared across their types. */
export function comparable(left: Type, right: Type): boolean {
  if (
    left.kind === 'scalar' &&
    right.kind === 'scalar' &&
    NUMBERS.has(left.name) &&
    NUMBERS.has(right.name)
  ) {
    return true
  }
  return fits(left, right)
}

export function typeText(type: Type): string {
  switch (type.kind) {
    case 'any':
      return 'any value'
    case 'scalar':
      return type.name
    case 'list':
      return 'list'
    case 'map':
    case 'fields':
      return 'map'
  }
}
