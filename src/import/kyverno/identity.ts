import { note, quoted, refuse, textOf, type Section } from '../../policy/cluster-image-policy/remarks.ts'
import { findsAnything, wholePattern } from '../../policy/cluster-image-policy/search-pattern.ts'
import { exactMatcher, patternMatcher, type IdentityField } from '../../policy/matcher.ts'
import { isRecord } from '../../policy/problem.ts'

/** Who may sign, as `keyless` of an ImagePolicy document says it. */
export type IdentitiesInput =
  | { readonly identities: readonly Readonly<Record<string, unknown>>[] }
  | { readonly unsafeAnyIdentity: true }

/** cosign's names of the first extensions of Fulcio, and ours. */
const EXTENSIONS: ReadonlyMap<string, string> = new Map([
  ['githubWorkflowTrigger', 'githubWorkflowTrigger'],
  ['githubWorkflowSha', 'githubWorkflowSHA'],
  ['githubWorkflowName', 'githubWorkflowName'],
  ['githubWorkflowRepository', 'githubWorkflowRepository'],
  ['githubWorkflowRef', 'githubWorkflowRef'],
])

/** How a document says one half of an identity; several ways at once are refused. */
type Written =
  | { readonly kind: 'anything' }
  | { readonly kind: 'exact'; readonly text: string }
  | { readonly kind: 'pattern'; readonly pattern: string; readonly text: string }

type Half = 'anything' | Readonly<Record<string, string>>

/** Of a section with issuer, issuerRegExp, subject and subjectRegExp. Undefined where something is refused. */
export function convertIdentity(section: Section): IdentitiesInput | undefined {
  const { path, remarks } = section
  const before = remarks.refusals.length
  const [issuer, subject] = [convertHalf('issuer', section), convertHalf('subject', section)]
  const extensions = convertExtensions(section)
  if (issuer === undefined || subject === undefined || remarks.refusals.length > before) return undefined
  if (issuer === 'anything' && subject === 'anything' && extensions === undefined) return anybody(section)
  if (issuer === 'anything') return refuse(remarks, path, 'found no issuer that is asked for', 'write issuer')
  if (subject === 'anything' && extensions === undefined) {
    const reason =
      'found no subject that is asked for, so that everybody with an account at the issuer may sign'
    return refuse(remarks, path, reason, 'write subject')
  }
  const who = subject === 'anything' ? issuer : { ...issuer, ...subject }
  return { identities: [extensions === undefined ? who : { ...who, extensions }] }
}

/** Whoever gets a certificate of the trust root. */
export function anybody({ path, remarks }: Section): IdentitiesInput {
  note(remarks, path, 'whoever gets a certificate may sign: unsafeAnyIdentity says so')
  return { unsafeAnyIdentity: true }
}

function convertHalf(field: IdentityField, section: Section): Half | undefined {
  const { path, remarks } = section
  const name = section.fields.has(field) ? field : `${field}RegExp`
  const written = readHalf(field, section)
  if (written === undefined) return undefined
  if (written.kind === 'anything') return 'anything'
  if (written.kind === 'exact') {
    const exact = exactMatcher(field, written.text)
    return exact.ok ? { [field]: written.text } : refuse(remarks, [...path, name], exact.message)
  }
  const result = patternMatcher(field, written.pattern)
  if (result.ok) return { [`${field}Pattern`]: written.pattern }
  return refuse(remarks, [...path, name], `found ${quoted(written.text)}`, result.message)
}

/** Kyverno compares with wildcards, or searches for a regular expression; an empty field asks for nothing. */
function readHalf(field: IdentityField, section: Section): Written | undefined {
  const { path, remarks } = section
  const wildcard = textOf(section, field)
  const search = textOf(section, `${field}RegExp`)
  if (wildcard !== undefined && search !== undefined) {
    return refuse(remarks, path, `found both of ${field} and ${field}RegExp`, 'write one of them')
  }
  if (`${wildcard}${search}`.includes('{{')) {
    return refuse(remarks, [...path, field], 'found a variable', `write the ${field} itself`)
  }
  if (search !== undefined) {
    return findsAnything(search)
      ? { kind: 'anything' }
      : { kind: 'pattern', pattern: wholePattern(search), text: search }
  }
  if (wildcard === undefined || wildcard === '*') return { kind: 'anything' }
  if (wildcard.includes('?')) {
    const reason = `found ${quoted(wildcard)}, whose ? has no equal`
    return refuse(remarks, [...path, field], reason, `write ${field}RegExp`)
  }
  if (!wildcard.includes('*')) return { kind: 'exact', text: wildcard }
  return { kind: 'pattern', pattern: wildcardPattern(wildcard), text: wildcard }
}

function convertExtensions(section: Section): Readonly<Record<string, unknown>> | undefined {
  const value = section.fields.get('additionalExtensions')
  const at = [...section.path, 'additionalExtensions']
  if (value === undefined) return undefined
  if (!isRecord(value)) return refuse(section.remarks, at, 'found no mapping', 'write names and values')
  const converted = Object.entries(value).map(([name, wanted]) => {
    const ours = EXTENSIONS.get(name)
    if (ours === undefined) {
      const instead = `the extensions are ${[...EXTENSIONS.keys()].join(', ')}`
      return refuse(section.remarks, [...at, name], 'found an extension that Kyverno does not know', instead)
    }
    if (typeof wanted !== 'string' || wanted === '' || /\?|\{\{/.test(wanted)) {
      return refuse(
        section.remarks,
        [...at, name],
        'found no value, or one with ? or a variable',
        'write the value',
      )
    }
    return [ours, wanted.includes('*') ? { pattern: wildcardPattern(wanted) } : wanted] as const
  })
  return Object.fromEntries(converted.filter((one) => one !== undefined))
}

/** `*` is any text. */
export function wildcardPattern(wildcard: string): string {
  return wildcard
    .split(/\*+/)
    .map((part) => part.replaceAll(/[.+^$()[\]{}|\\]/g, String.raw`\$&`))
    .join('.*')
}
