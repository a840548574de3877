import type { Path } from '../problem.ts'
import { closest } from '../suggestion.ts'

/** Reading documents of other systems: every field of them is converted, noted or refused. Nothing is passed over. */

/** Something that cannot be enforced as it is where it comes from. */
export type Refusal = {
  readonly path: Path
  /** What was found, and why it has no equal here: one clause, no stop. */
  readonly reason: string
  /** What to write instead; empty where `reason` says it. */
  readonly instead: string
}

/** Something that a person should know of a document that was converted. */
export type Note = { readonly path: Path; readonly message: string }

export type Remarks = { readonly refusals: Refusal[]; readonly notes: Note[] }

/** What becomes of a field that a document has. One that no rule knows is refused. */
type FieldRule = 'converted' | { readonly note: string } | { readonly refuse: readonly [string, string] }
export type FieldRules = Readonly<Record<string, FieldRule>>

/** One mapping of a document, where it stands, and where to report about it. Holds the fields that are `converted`. */
export type Section = {
  readonly path: Path
  readonly fields: ReadonlyMap<string, unknown>
  readonly remarks: Remarks
}

/** More than any document has: what is refused is told whole, and must not be endless. */
const REMARKS_MAX = 500
const LIST_LENGTH_MAX = 512

export function newRemarks(): Remarks {
  return { refusals: [], notes: [] }
}

export function refuse({ refusals }: Remarks, path: Path, reason: string, instead = ''): undefined {
  if (refusals.length < REMARKS_MAX) refusals.push({ path, reason, instead })
  return undefined
}

/** The same thing of several places is said once. */
export function note({ notes }: Remarks, path: Path, message: string): void {
  if (notes.length < REMARKS_MAX && !notes.some((one) => one.message === message))
    notes.push({ path, message })
}

export function refusalText({ reason, instead }: Refusal): string {
  return instead === '' ? reason : `${reason}; ${instead}`
}

/** Undefined where the value is no mapping, which is refused. A null is an absent field, as in Kubernetes. */
export function readSection(
  value: unknown,
  path: Path,
  rules: FieldRules,
  remarks: Remarks,
): Section | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(remarks, path, `found ${kindOf(value)}, expected a mapping`)
  }
  const table = new Map(Object.entries(rules))
  const fields = new Map<string, unknown>()
  for (const [key, entry] of Object.entries(value)) {
    const rule = table.get(key)
    const at = [...path, key]
    if (rule === undefined) refuseUnknown(key, [...table.keys()], at, remarks)
    else if (entry === null || entry === undefined) continue
    else if (rule === 'converted') fields.set(key, entry)
    else if ('note' in rule) note(remarks, at, rule.note)
    else refuse(remarks, at, ...rule.refuse)
  }
  return { path, fields, remarks }
}

function refuseUnknown(key: string, known: readonly string[], path: Path, remarks: Remarks): void {
  const near = closest(key, known)
  const instead = near === undefined ? `the fields here are ${known.join(', ')}` : `did you mean ${near}?`
  refuse(remarks, path, 'found a field that nobody knows', instead)
}

/** The mapping under `key`; undefined where there is none. */
export function sectionOf(parent: Section, key: string, rules: FieldRules): Section | undefined {
  const value = parent.fields.get(key)
  return value === undefined ? undefined : readSection(value, [...parent.path, key], rules, parent.remarks)
}

/** The mappings of the list under `key`; those that are none are refused. */
export function sectionsOf(parent: Section, key: string, rules: FieldRules): readonly Section[] {
  return listOf(parent, key).flatMap(
    (value, index) => readSection(value, [...parent.path, key, index], rules, parent.remarks) ?? [],
  )
}

/** Empty where there is none. */
export function listOf({ fields, path, remarks }: Section, key: string): readonly unknown[] {
  const value = fields.get(key)
  if (value === undefined) return []
  const at = [...path, key]
  if (!Array.isArray(value)) return refuse(remarks, at, `found ${kindOf(value)}, expected a list`) ?? []
  if (value.length <= LIST_LENGTH_MAX) return value
  return refuse(remarks, at, `found ${value.length} entries, expected at most ${LIST_LENGTH_MAX}`) ?? []
}

/** Undefined where there is none; an empty text is none, as in Go. */
export function textOf({ fields, path, remarks }: Section, key: string): string | undefined {
  const value = fields.get(key)
  if (value === undefined || value === '') return undefined
  if (typeof value === 'string') return value
  return refuse(remarks, [...path, key], `found ${kindOf(value)}, expected a text`, 'put it in quotes')
}

export function flagOf({ fields, path, remarks }: Section, key: string): boolean | undefined {
  const value = fields.get(key)
  if (value === undefined || typeof value === 'boolean') return value
  return refuse(remarks, [...path, key], `found ${kindOf(value)}, expected true or false`)
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a mapping' : `a ${typeof value}`
}

/** A text of the document as a message quotes it. */
export function quoted(text: string): string {
  const shown = text.length <= 120 ? text : `${text.slice(0, 120)}…`
  return JSON.stringify(shown)
}
