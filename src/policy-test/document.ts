import * as z from 'zod'
import { modeSchema, nameSchema } from '../policy/document-parts.ts'
import { predicateTypeSchema } from '../policy/document.ts'
import { ALWAYS, exactlyOneOf, idle, text } from '../policy/field-rules.ts'
import { parseImageReference } from '../oci/reference.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import { FULCIO_EXTENSIONS } from '../verify/types.ts'

/** A file of policy tests: the one schema from which its checks and its published JSON Schema come. */

const CASES_MAX = 10_000
const EVIDENCE_MAX = 64
const ENTRIES_MAX = 64

const moment = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })], {
    error: 'expected a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z',
  })
  .transform((value) => new Date(value))

const file = text.describe('Relative to this file.')

const key = z
  .strictObject({
    file: file.optional().describe('The public key, PEM, relative to this file.'),
    id: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hexadecimal digits')
      .optional()
      .describe('SHA-256 of its DER SubjectPublicKeyInfo.'),
    reference: text
      .optional()
      .describe('As a policy names it: `awskms:///alias/release`, or `keys:NAME` of the configuration.'),
  })
  .superRefine(exactlyOneOf(['file', 'id', 'reference']), ALWAYS)
  .describe('A long-lived key.')

const signer = z
  .strictObject({
    issuer: text.optional().describe('The OIDC issuer of the signing certificate.'),
    subject: text.optional().describe('Its subject alternative name.'),
    extensions: z
      .partialRecord(z.enum(Object.values(FULCIO_EXTENSIONS)), text)
      .optional()
      .describe('What Fulcio wrote into the certificate about the build.'),
    key: key.optional(),
  })
  .superRefine(exactlyOneOf(['issuer', 'key']), ALWAYS)
  .superRefine(
    idle(['subject', 'extensions'], (value) => value.key !== undefined, 'which keys do not have'),
    ALWAYS,
  )
  .superRefine(({ issuer, subject }, context) => {
    if ((issuer === undefined) === (subject === undefined)) return
    context.addIssue({ code: 'custom', message: 'found one of issuer and subject, expected both' })
  })
  .describe('Who signed.')

const attestation = z
  .strictObject({
    predicateType: predicateTypeSchema,
    predicate: z.unknown().optional().describe('The predicate itself.'),
    predicateFile: file.optional().describe('A JSON file with the predicate, relative to this file.'),
  })
  .superRefine(exactlyOneOf(['predicate', 'predicateFile']), ALWAYS)

const DECLARED = ['attestation', 'trustRoot', 'logged', 'signedAt']

const evidence = z
  .strictObject({
    bundle: file
      .optional()
      .describe('A Sigstore bundle, verified for real against the trust roots of the configuration.'),
    signer: signer.optional(),
    attestation: attestation
      .optional()
      .describe('What was attested. Without it the evidence is a signature.'),
    trustRoot: text
      .optional()
      .describe('The trust root that vouches for who signed and when. Default: public-good.'),
    logged: z
      .boolean()
      .optional()
      .describe('Whether it is in a log of the trust root. Default: true, of a key false.'),
    signedAt: moment
      .optional()
      .describe(
        'When, as the trust root vouches for it. Default: `now`; of a key that is not logged, nobody knows.',
      ),
  })
  .superRefine(exactlyOneOf(['bundle', 'signer']), ALWAYS)
  .superRefine(
    idle(DECLARED, (value) => value.bundle !== undefined, 'which the bundle itself says'),
    ALWAYS,
  )

const invalid = z.strictObject({
  code: z
    .enum([
      'malformed',
      'unsupported',
      'certificate',
      'log-entry',
      'timestamp',
      'signature',
      'subject',
      'key',
    ])
    .describe('Why it proves nothing.'),
  message: text.default('declared by the test'),
})

const outage = z.strictObject({
  dependency: z
    .enum(['registry', 'trust', 'rekor', 'kms', 'rate-limit', 'deadline', 'verifier'])
    .describe('What is away.'),
  name: text
    .optional()
    .describe('Of `trust` the trust root, of `kms` the key as a policy names it. Default: every one.'),
  message: text.default('declared by the test'),
})

const reasonCode = z.enum([
  'no-policy',
  'unsigned',
  'revoked',
  'denied',
  'wrong-identity',
  'wrong-key',
  'missing-attestation',
  'failed-check',
  'too-old',
  'not-enough',
  'not-logged',
  'invalid-evidence',
  'malformed',
  'foreign-url',
])

const verdict = z.enum(['satisfied', 'violated', 'undetermined'])

const expectation = z
  .strictObject({
    outcome: z.enum(['serve', 'refuse', 'hold']).optional().describe('What the client gets.'),
    policies: z
      .record(nameSchema, verdict)
      .optional()
      .describe(
        'The verdict of each policy that is named; the others may say anything. `unmatched` where none matches.',
      ),
    reasons: z
      .array(reasonCode)
      .min(1)
      .max(ENTRIES_MAX)
      .optional()
      .describe('Codes of reasons that some policy must give; there may be others.'),
    warnings: z
      .array(nameSchema)
      .max(ENTRIES_MAX)
      .optional()
      .describe('Exactly those policies in mode observe that are not satisfied.'),
    message: z
      .union([text, z.array(text).min(1).max(ENTRIES_MAX)])
      .transform((value) => (typeof value === 'string' ? [value] : value))
      .optional()
      .describe('Text that the refusal, or else a warning, must have in it; every one of them.'),
  })
  .refine((value) => Object.values(value).some((field) => field !== undefined), {
    error: 'found nothing, expected at least one field: without one the case can only pass',
  })
  .describe('What must come out.')

const shared = {
  ring: nameSchema.optional().describe(`The ring of the client. Default: ${DEFAULT_RING}.`),
  now: moment.optional().describe('When the image is pulled. Default: now.'),
}

const testCase = z.strictObject({
  name: text.describe('Shown in the report.'),
  image: z
    .string()
    .refine(
      (value) => parseImageReference(value) !== undefined,
      'expected an image name such as ghcr.io/acme/app:v1',
    )
    .describe('Without a digest one is made of the name; bundles need the real one.'),
  ...shared,
  evidence: z
    .array(evidence)
    .max(EVIDENCE_MAX)
    .default([])
    .describe('What was found for the image and verifies. Default: nothing, the image is unsigned.'),
  invalid: z.array(invalid).max(EVIDENCE_MAX).default([]).describe('What was found and does not verify.'),
  outages: z.array(outage).max(ENTRIES_MAX).default([]).describe('What could not be had.'),
  satisfiedBefore: z
    .array(nameSchema)
    .max(ENTRIES_MAX)
    .default([])
    .describe('Policies that the image satisfied before, for stance last-verified.'),
  openBudget: z
    .enum(['left', 'spent'])
    .default('left')
    .describe('Whether the budget of stance open has room for it.'),
  expect: expectation,
})

export const policyTestSchema = z.strictObject({
  apiVersion: z.literal('portcullis.dev/v1alpha1'),
  kind: z.literal('PolicyTest'),
  ...shared,
  unmatched: modeSchema
    .optional()
    .describe('Mode of the rule that every image needs a policy. Default: that of the configuration.'),
  keys: z
    .record(text, file)
    .default({})
    .describe(
      'Public keys, PEM files, by the reference under which policies name them. Bundles need the real ones.',
    ),
  cases: z.array(testCase).min(1).max(CASES_MAX),
})

export type PolicyTestDocument = z.output<typeof policyTestSchema>
export type CaseDocument = PolicyTestDocument['cases'][number]
export type EvidenceDocument = CaseDocument['evidence'][number]

/** The published JSON Schema of a test file, for editors. */
export function policyTestJsonSchema(): object {
  return { title: 'Portcullis policy tests', ...z.toJSONSchema(policyTestSchema, { io: 'input' }) }
}
