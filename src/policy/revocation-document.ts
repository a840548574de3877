import * as z from 'zod'
import { parseDigest } from '../oci/digest.ts'
import { imagesSchema, metadataSchema, modeSchema, ringsSchema, runbookSchema } from './document-parts.ts'
import { ALWAYS, atMostOneOf, exactlyOneOf, given, idle, momentSchema, text } from './field-rules.ts'
import { identitySchema } from './identity.ts'
import { textMatcherSchema } from './matcher.ts'

/** A revocation document: the one schema from which its checks and its published JSON Schema come. */

const DENIALS_MAX = 1024
/** It is part of every refusal, beside who signed what. */
const REASON_CHARACTERS_MAX = 120
const ONE_LINE = /^[\x20-\x7e]+$/

const sha256 = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hex digits')

const digest = sha256.transform((value, context) => {
  const parsed = parseDigest(value)
  if (parsed !== undefined) return parsed
  context.addIssue({ code: 'custom', message: 'expected sha256: and 64 hex digits' })
  return z.NEVER
})

const key = z
  .strictObject({
    id: sha256.optional().describe('SHA-256 of the DER of its SubjectPublicKeyInfo, as refusals show it.'),
    data: text.optional().describe('The public key, PEM.'),
    file: text.optional().describe('A PEM file below the policies directory, relative to this file.'),
  })
  .superRefine(exactlyOneOf(['id', 'data', 'file']), ALWAYS)

const IDENTITY_FIELDS = ['issuer', 'issuerPattern', 'subject', 'subjectPattern']

/** Unlike a policy's it may be as wide as it likes; but an empty one is far more likely a slip than meant. */
const identity = z
  .strictObject(identitySchema.shape)
  .superRefine(atMostOneOf(['issuer', 'issuerPattern']), ALWAYS)
  .superRefine(atMostOneOf(['subject', 'subjectPattern']), ALWAYS)
  .superRefine((value, context) => {
    const { extensions = {} } = value
    if (given(value, IDENTITY_FIELDS).length + given(extensions, Object.keys(extensions)).length > 0) return
    const message = 'found nothing that says who signed, expected issuer, subject or extensions'
    context.addIssue({ code: 'custom', message })
  }, ALWAYS)

const denial = z
  .strictObject({
    digest: digest.optional().describe('An image, or an index and with it all that is served for its sake.'),
    identity: identity.optional().describe('Whatever is signed with a certificate that matches.'),
    key: key.optional().describe('Whatever is signed with the key.'),
    builder: textMatcherSchema
      .optional()
      .describe('Whatever has SLSA provenance of this builder, whoever signed it.'),
    trustRoot: text
      .optional()
      .describe('Trust root whose certificates and times count. Default: public-good.'),
    signedFrom: momentSchema
      .optional()
      .describe('Only what was, or may have been, signed then (inclusive) or later. Default: always.'),
    signedUntil: momentSchema
      .optional()
      .describe('Only what was, or may have been, signed before. Default: always.'),
  })
  .superRefine(exactlyOneOf(['digest', 'identity', 'key', 'builder']), ALWAYS)
  .superRefine(
    idle(
      ['trustRoot', 'signedFrom', 'signedUntil'],
      (value) => given(value, ['digest']).length > 0,
      'which has no effect on a digest; drop it',
    ),
    ALWAYS,
  )
  .superRefine(
    idle(
      ['trustRoot'],
      (value) =>
        given(value, ['key', 'builder']).length > 0 &&
        given(value, ['signedFrom', 'signedUntil']).length === 0,
      'which has no effect without signedFrom or signedUntil; drop it',
    ),
    ALWAYS,
  )
  .superRefine(({ signedFrom, signedUntil }, context) => {
    if (signedFrom === undefined || signedUntil === undefined) return
    if (new Date(signedFrom) < new Date(signedUntil)) return
    const message = 'found no time between signedFrom and signedUntil, expected a later one'
    context.addIssue({ code: 'custom', path: ['signedUntil'], message })
  })

export const revocationDocumentSchema = z.strictObject({
  apiVersion: z.literal('portcullis.dev/v1alpha1'),
  kind: z.literal('Revocation'),
  metadata: metadataSchema,
  spec: z.strictObject({
    reason: z
      .string()
      .trim()
      .min(1, 'expected some text')
      .max(REASON_CHARACTERS_MAX)
      .regex(ONE_LINE, 'expected one line of printable ASCII')
      .describe('Why, in one clause: part of every refusal.'),
    runbook: runbookSchema.optional(),
    mode: modeSchema
      .default('enforce')
      .describe(
        'What a hit does: nothing, a warning, a refusal. `policies.defaultMode` is of no account here.',
      ),
    rings: ringsSchema.optional(),
    images: imagesSchema.optional().describe('Images that it is about; any one glob. Default: all.'),
    deny: z.array(denial).min(1).max(DENIALS_MAX).describe('What is never accepted again; any one of them.'),
  }),
})

export type RevocationDocument = z.output<typeof revocationDocumentSchema>
export type DenialDocument = RevocationDocument['spec']['deny'][number]

/** The published JSON Schema of a revocation document, for editors. */
export function revocationJsonSchema(): object {
  return z.toJSONSchema(revocationDocumentSchema, { io: 'input' })
}
