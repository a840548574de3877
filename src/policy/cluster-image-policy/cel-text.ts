/** Writing CEL for people to take over: texts, never evaluated here. */

/** What a CUE or Rego policy comes to in CEL, or why it cannot be told. */
export type Derived =
  /** All of them must hold. Empty: it asks for nothing that the document does not ask for anyway. */
  { readonly ok: true; readonly conditions: readonly string[] } | { readonly ok: false; readonly why: string }

/** More is nobody's policy for one attestation. */
export const POLICY_CHARACTERS_MAX = 16_384

export type Literal = string | number | boolean | null

const RESERVED: ReadonlySet<string> = new Set([
  'true',
  'false',
  'null',
  'in',
  'as',
  'if',
  'else',
  'for',
  'var',
])

/** `base.label`, or `base["label"]` where the label is no identifier. */
export function celMember(base: string, label: string | number): string {
  if (typeof label === 'number') return `${base}[${label}]`
  const isName = /^[A-Za-z_][A-Za-z0-9_]*$/.test(label) && !RESERVED.has(label)
  return isName ? `${base}.${label}` : `${base}[${JSON.stringify(label)}]`
}

/** JSON's texts, numbers and words are CEL's. */
export function celLiteral(value: Literal): string {
  return JSON.stringify(value)
}

export function underivable(why: string): Derived {
  return { ok: false, why }
}
