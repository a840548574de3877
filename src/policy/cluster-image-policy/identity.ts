import { exactMatcher, patternMatcher, type IdentityField } from '../matcher.ts'
import { quoted, refuse, note, sectionsOf, textOf, type FieldRules, type Section } from './remarks.ts'
import { findsAnything, wholePattern } from './search-pattern.ts'

/** `identities` of one authority, as an ImagePolicy document says it. */
type IdentityInput = {
  issuer?: string
  issuerPattern?: string
  subject?: string
  subjectPattern?: string
}

export type IdentitiesInput =
  | { readonly identities: readonly IdentityInput[] }
  | { readonly unsafeAnyIdentity: true }

const FIELDS: FieldRules = {
  issuer: 'converted',
  issuerRegExp: 'converted',
  subject: 'converted',
  subjectRegExp: 'converted',
}

type Half = 'anything' | IdentityInput

/** Undefined where something is refused. Several identities are alternatives, there and here. */
export function convertIdentities(keyless: Section): IdentitiesInput | undefined {
  const { path, remarks } = keyless
  const sections = sectionsOf(keyless, 'identities', FIELDS)
  if (sections.length === 0) {
    return refuse(remarks, [...path, 'identities'], 'found none', 'write who may sign: issuer and subject')
  }
  const identities = sections.map((section) => convertIdentity(section))
  if (identities.includes('anything')) {
    const message =
      'the patterns find something in every identity, so that whoever gets a certificate may sign: unsafeAnyIdentity says so'
    note(remarks, [...path, 'identities'], message)
    return { unsafeAnyIdentity: true }
  }
  const converted = identities.filter((one) => one !== undefined && one !== 'anything')
  return converted.length === sections.length ? { identities: converted } : undefined
}

function convertIdentity(section: Section): Half | undefined {
  const issuer = convertHalf('issuer', section)
  const subject = convertHalf('subject', section)
  if (issuer === undefined || subject === undefined) return undefined
  if (issuer === 'anything' && subject === 'anything') return 'anything'
  if (issuer === 'anything') {
    return refuseHalf(
      section,
      'issuerRegExp',
      'which finds something in every issuer, beside a subject: subjects mean something only with the issuer that vouches for them',
    )
  }
  if (subject === 'anything') {
    return refuseHalf(
      section,
      'subjectRegExp',
      'which finds something in every subject, so that everybody with an account at the issuer may sign',
    )
  }
  return { ...issuer, ...subject }
}

function convertHalf(field: IdentityField, section: Section): Half | undefined {
  const { path, remarks } = section
  const exact = textOf(section, field)
  const search = textOf(section, `${field}RegExp`)
  if ((exact === undefined) === (search === undefined)) {
    const found = exact === undefined ? 'neither' : 'both'
    return refuse(remarks, path, `found ${found} of ${field} and ${field}RegExp`, 'write one of them')
  }
  if (exact !== undefined) {
    const result = exactMatcher(field, exact)
    return result.ok ? { [field]: exact } : refuse(remarks, [...path, field], result.message)
  }
  if (search === undefined) return undefined
  if (findsAnything(search)) return 'anything'
  const pattern = wholePattern(search)
  const result = patternMatcher(field, pattern)
  if (!result.ok)
    return refuse(remarks, [...path, `${field}RegExp`], `found ${quoted(search)}`, result.message)
  return { [`${field}Pattern`]: pattern }
}

function refuseHalf(section: Section, field: 'issuerRegExp' | 'subjectRegExp', why: string): undefined {
  const found = textOf(section, field) ?? ''
  const instead =
    field === 'issuerRegExp'
      ? 'write the issuer'
      : 'write who may sign; or unsafeAnyIdentity: true, if it is anybody'
  return refuse(section.remarks, [...section.path, field], `found ${quoted(found)}, ${why}`, instead)
}
