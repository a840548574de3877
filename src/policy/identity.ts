import * as z from 'zod'
import { FULCIO_EXTENSIONS, type FulcioExtension, type SignerIdentity } from '../verify/types.ts'
import { ALWAYS, atMostOneOf, exactlyOneOf, given, text } from './field-rules.ts'
import {
  compileText,
  exactMatcher,
  matchesString,
  matcherText,
  patternMatcher,
  textMatcherSchema,
  type Breadth,
  type IdentityField,
} from './matcher.ts'
import type { Path, Report } from './problem.ts'
import type { IdentityMatcher, StringMatcher } from './types.ts'

/** Who signed with a certificate: how a document says it, and how a certificate is held against it. */

/** A GitHub workflow, GitLab CI configuration or the like, of somebody who is nobody: `.invalid` (RFC 2606). */
const STRANGER_BUILD = 'https://attacker.invalid/x/y/.github/workflows/release.yml@refs/heads/main'

/** Extensions that say whose build it was, so that no subject is needed beside them; and what a stranger would have. */
const NAMING: ReadonlyMap<FulcioExtension, string> = new Map([
  ['sourceRepositoryURI', 'https://attacker.invalid/x/y'],
  ['sourceRepositoryIdentifier', '1234567890'],
  ['sourceRepositoryOwnerURI', 'https://attacker.invalid/x'],
  ['sourceRepositoryOwnerIdentifier', '1234567890'],
  ['buildSignerURI', STRANGER_BUILD],
  ['buildConfigURI', STRANGER_BUILD],
])

const extensionsSchema = z.strictObject(extensionShape())

/** Who may have signed, or, in a revocation, who must not have. */
export const identitySchema = z
  .strictObject({
    issuer: text
      .optional()
      .describe(
        'The OIDC issuer that vouched for the signer, compared exactly. Below a trust root of kind pki: the distinguished name of the authority that issued the certificate, such as CN=Code Signing CA,O=Acme.',
      ),
    issuerPattern: text.optional().describe('RE2 pattern that must match the whole issuer.'),
    subject: text
      .optional()
      .describe('The subject alternative name of the signing certificate, compared exactly.'),
    subjectPattern: text.optional().describe('RE2 pattern that must match the whole subject.'),
    extensions: extensionsSchema
      .optional()
      .describe('What Fulcio wrote into the certificate about the build; all of them must match.'),
  })
  .superRefine(exactlyOneOf(['issuer', 'issuerPattern']), ALWAYS)
  .superRefine(atMostOneOf(['subject', 'subjectPattern']), ALWAYS)
  .superRefine((value, context) => {
    if (given(value, ['subject', 'subjectPattern']).length > 0) return
    if (given(value.extensions, [...NAMING.keys()]).length > 0) return
    const names = [...NAMING.keys()].join(', ')
    const message = `found nothing that says who signed, expected subject, subjectPattern or one of the extensions ${names}`
    context.addIssue({ code: 'custom', message })
  }, ALWAYS)

export type IdentityDocument = z.output<typeof identitySchema>

/** Anybody to whom the trust root gave a certificate: a policy has to ask for it in so many words. */
export const ANY_IDENTITY: IdentityMatcher = { issuer: undefined, subject: undefined, extensions: [] }

/** Undefined where something is wrong with it, which is reported. */
export function compileIdentity(
  document: IdentityDocument,
  path: Path,
  report: Report,
  breadth: Breadth = 'named',
): IdentityMatcher | undefined {
  let isWhole = true
  const noted: Report = (at, message) => {
    isWhole = false
    return report(at, message)
  }
  const compileField = (field: IdentityField) => compileWhole(document, field, breadth, [path, noted])
  const [issuer, subject] = [compileField('issuer'), compileField('subject')]
  const extensions = Object.values(FULCIO_EXTENSIONS).flatMap((name) => {
    const written = document.extensions?.[name]
    if (written === undefined) return []
    const stranger = breadth === 'any' ? undefined : NAMING.get(name)
    const matcher = compileText(written, stranger, [...path, 'extensions', name], noted)
    return matcher === undefined ? [] : [{ name, matcher }]
  })
  return isWhole ? { issuer, subject, extensions } : undefined
}

export function matchesIdentity(matcher: IdentityMatcher, identity: SignerIdentity): boolean {
  const { issuer, subject, extensions } = matcher
  if (issuer !== undefined && !matchesString(issuer, identity.issuer)) return false
  if (subject !== undefined && !matchesString(subject, identity.subject)) return false
  return extensions.every(({ name, matcher: expected }) => {
    const found = identity.extensions[name]
    return found !== undefined && matchesString(expected, found)
  })
}

/** Whether it is matched by whoever has a certificate. */
export function isAnybody({ issuer, subject, extensions }: IdentityMatcher): boolean {
  return issuer === undefined && subject === undefined && extensions.length === 0
}

/** One text for one meaning. */
export function identityCanonical({ issuer, subject, extensions }: IdentityMatcher): string {
  const named = extensions.map(({ name, matcher }) => JSON.stringify([name, partsOf(matcher)])).toSorted()
  return JSON.stringify([partsOf(issuer), partsOf(subject), named])
}

/** As a message says it: `SUBJECT (issuer ISSUER, sourceRepositoryURI …)`. */
export function identityText(matcher: IdentityMatcher): string {
  if (isAnybody(matcher)) return 'anybody'
  const { issuer, subject, extensions } = matcher
  const facts = [
    ...(issuer === undefined ? [] : [`issuer ${matcherText(issuer)}`]),
    ...extensions.map(({ name, matcher: expected }) => `${name} ${matcherText(expected)}`),
  ]
  const who = subject === undefined ? 'a signer' : matcherText(subject)
  return facts.length === 0 ? who : `${who} (${facts.join(', ')})`
}

function partsOf(matcher: StringMatcher | undefined): readonly string[] {
  return matcher === undefined ? [] : [matcher.kind, matcherText(matcher)]
}

/** What is compared exactly, or the pattern of the same field: the schema lets one of the two through. */
function compileWhole(
  document: IdentityDocument,
  field: IdentityField,
  breadth: Breadth,
  [path, report]: readonly [Path, Report],
): StringMatcher | undefined {
  const { [field]: exact, [`${field}Pattern` as const]: pattern } = document
  if (exact !== undefined) {
    const result = exactMatcher(field, exact)
    return result.ok ? result.matcher : report([...path, field], result.message)
  }
  if (pattern === undefined) return undefined
  const result = patternMatcher(field, pattern, breadth)
  return result.ok ? result.matcher : report([...path, `${field}Pattern`], result.message)
}

function extensionShape(): Record<FulcioExtension, z.ZodOptional<typeof textMatcherSchema>> {
  const field = (number: number) =>
    textMatcherSchema.optional().describe(`Fulcio extension 1.3.6.1.4.1.57264.1.${number}.`)
  return {
    githubWorkflowTrigger: field(2),
    githubWorkflowSHA: field(3),
    githubWorkflowName: field(4),
    githubWorkflowRepository: field(5),
    githubWorkflowRef: field(6),
    buildSignerURI: field(9),
    buildSignerDigest: field(10),
    runnerEnvironment: field(11),
    sourceRepositoryURI: field(12),
    sourceRepositoryDigest: field(13),
    sourceRepositoryRef: field(14),
    sourceRepositoryIdentifier: field(15),
    sourceRepositoryOwnerURI: field(16),
    sourceRepositoryOwnerIdentifier: field(17),
    buildConfigURI: field(18),
    buildConfigDigest: field(19),
    buildTrigger: field(20),
    runInvocationURI: field(21),
    sourceRepositoryVisibilityAtSigning: field(22),
    deploymentEnvironment: field(23),
    tokenSubject: field(24),
  }
}
