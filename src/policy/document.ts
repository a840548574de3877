import * as z from 'zod'
import { claimShape } from './claim-document.ts'
import {
  imagesSchema,
  metadataSchema,
  modeSchema,
  nameSchema,
  ringsSchema,
  runbookSchema,
} from './document-parts.ts'
import { duration } from './duration.ts'
import { ALWAYS, atMostOneOf, exactlyOneOf, given, idle, text } from './field-rules.ts'
import { identitySchema } from './identity.ts'
import { asksTrustRoot, keySchema } from './key-document.ts'
import { requirementSchema } from './requirement.ts'

/** A policy document: the one schema from which its checks, its published JSON Schema and its reference come. */

const AUTHORITIES_MAX = 64
const IDENTITIES_MAX = 64
const ATTESTATIONS_MAX = 16
const MESSAGE_CHARACTERS_MAX = 200
/** Counts of a rollout: more than any fleet pulls in the longest stage. */
const COUNT_MAX = 1_000_000_000
const DAYS_MAX = 365

/** cosign's short names (cosign pkg/cosign/attestation and cmd options/predicate.go). */
const PREDICATE_TYPES: ReadonlyMap<string, string> = new Map([
  ['custom', 'https://cosign.sigstore.dev/attestation/v1'],
  ['cyclonedx', 'https://cyclonedx.org/bom'],
  ['link', 'https://in-toto.io/Link/v1'],
  ['slsaprovenance', 'https://slsa.dev/provenance/v0.2'],
  ['slsaprovenance02', 'https://slsa.dev/provenance/v0.2'],
  ['slsaprovenance1', 'https://slsa.dev/provenance/v1'],
  ['spdx', 'https://spdx.dev/Document'],
  ['spdxjson', 'https://spdx.dev/Document'],
  ['vuln', 'https://cosign.sigstore.dev/attestation/vuln/v1'],
])

export const stanceSchema = z.enum(['closed', 'last-verified', 'open'])

const maxAge = duration('1s', '3650d')
/** Up to the longest that a pull may take at all (`deadlines.pull`). */
const verifyBudget = duration('10ms', '5m')

const keyless = z
  .strictObject({
    trustRoot: text
      .default('public-good')
      .describe('Name of a trust root of the configuration (`trust.roots`).'),
    identities: z
      .array(identitySchema)
      .min(1)
      .max(IDENTITIES_MAX)
      .optional()
      .describe('Who may sign; any one of them.'),
    unsafeAnyIdentity: z
      .literal(true)
      .optional()
      .describe(
        'Instead of identities: whoever has a certificate of the trust root. Of a public one that is anybody.',
      ),
  })
  .superRefine(atMostOneOf(['identities', 'unsafeAnyIdentity']), ALWAYS)
  .superRefine((value, context) => {
    if (given(value, ['identities', 'unsafeAnyIdentity']).length > 0) return
    const message =
      'found nothing that says who may sign, expected identities; only unsafeAnyIdentity: true lets anybody'
    context.addIssue({ code: 'custom', message })
  }, ALWAYS)
  .describe('Signers with a short-lived certificate of a Sigstore certificate authority.')

const fixed = z
  .strictObject({
    action: z.enum(['pass', 'fail']).describe('What it says of every image, signed or not.'),
    message: text.max(MESSAGE_CHARACTERS_MAX).optional().describe('Why, with `fail`: part of the refusal.'),
  })
  .superRefine(
    idle(
      ['message'],
      (value) => value.action === 'pass',
      'which nobody is shown with action: pass; write a comment instead',
    ),
    ALWAYS,
  )
  .describe('An authority that looks at no evidence.')

export const predicateTypeSchema = z
  .string()
  .transform((value) => PREDICATE_TYPES.get(value) ?? value)
  .refine(
    (value) => URL.canParse(value),
    `expected a URI or one of ${[...PREDICATE_TYPES.keys()].join(', ')}`,
  )
  .describe(`in-toto predicate type: a URI, or ${[...PREDICATE_TYPES.keys()].join(', ')}.`)

const attestation = z.strictObject({
  name: nameSchema.describe('How messages call it.'),
  predicateType: predicateTypeSchema,
  maxAge: maxAge
    .optional()
    .describe(
      'How old it may be (`30d`), by the earliest time that the trust root of the authority vouches for.',
    ),
  ...claimShape,
})

/** Fields that ask something of a signature, and so have no meaning where none is asked for. */
const OF_SIGNATURE = ['expressions', 'maxAge']

const authority = z
  .strictObject({
    name: nameSchema.describe('How messages and records call it; unique in its policy.'),
    keyless: keyless.optional(),
    key: keySchema.optional(),
    static: fixed.optional(),
    attestations: z
      .array(attestation)
      .min(1)
      .max(ATTESTATIONS_MAX)
      .optional()
      .describe(
        'Attestations that the signer must have made, all of them. With them no plain signature is asked for; ' +
          'without them a signature is.',
      ),
    maxAge: maxAge
      .optional()
      .describe(
        'How old the signature may be (`30d`), by the earliest time that the trust root vouches for.',
      ),
    expressions: claimShape.expressions,
  })
  .superRefine(exactlyOneOf(['keyless', 'key', 'static']), ALWAYS)
  .superRefine(
    idle(
      OF_SIGNATURE,
      (value) => value.attestations !== undefined,
      'which has no effect beside attestations, where no signature is asked for; write it in each of them',
    ),
    ALWAYS,
  )
  .superRefine(
    idle(
      ['attestations', ...OF_SIGNATURE],
      (value) => value.static !== undefined,
      'which has no effect beside static, which looks at no evidence',
    ),
    ALWAYS,
  )
  .superRefine(({ key, maxAge: ofSignature, attestations }, context) => {
    if (key?.trustRoot === undefined || asksTrustRoot(key) || ofSignature !== undefined) return
    if (attestations?.some((one) => one.maxAge !== undefined) === true) return
    const message =
      'found trustRoot, which has no effect here; add transparencyLog: required, validFrom, validUntil or maxAge, or drop it'
    context.addIssue({ code: 'custom', path: ['key', 'trustRoot'], message })
  })

const count = z.int().min(0).max(COUNT_MAX)

const rollout = z
  .strictObject({
    minDays: count.max(DAYS_MAX).default(7).describe('Days since the policy is what it is in the ring.'),
    minPulls: count.default(1).describe('Pulls since then.'),
    minImages: count.default(1).describe('Different images among them.'),
    maxWouldBlocks: count.default(0).describe('Different images among them that enforce would have refused.'),
  })
  .describe('What must hold in a ring before `rollout promote` takes the policy on; all of it.')

export const policyDocumentSchema = z.strictObject({
  apiVersion: z.literal('portcullis.dev/v1alpha1'),
  kind: z.literal('ImagePolicy'),
  metadata: metadataSchema,
  spec: z.strictObject({
    mode: modeSchema
      .optional()
      .describe('What a violation does: nothing, a warning, a refusal. Default: `policies.defaultMode`.'),
    rings: ringsSchema.optional(),
    rollout: rollout.optional(),
    stance: stanceSchema
      .optional()
      .describe(
        'What is done in mode enforce with an image that cannot be judged now: held, served if it was satisfied before, ' +
          'or served within a budget. Default: `policies.defaultStance`; `policies.stanceLimit` may be stricter.',
      ),
    verifyBudget: verifyBudget
      .optional()
      .describe(
        'How long a pull waits for the verdict of this policy before it counts as undetermined (`800ms`); verification ' +
          'goes on for the next pull. Default: as long as the pull itself, `deadlines.pull`.',
      ),
    runbook: runbookSchema.optional(),
    images: imagesSchema.describe('Images that the policy is about; any one glob.'),
    authorities: z.array(authority).min(1).max(AUTHORITIES_MAX).describe('Who may vouch for the images.'),
    require: requirementSchema
      .optional()
      .describe('Which authorities together are enough. Default: any one of them.'),
  }),
})

export type PolicyDocument = z.output<typeof policyDocumentSchema>
export type AuthorityDocument = PolicyDocument['spec']['authorities'][number]

/** The published JSON Schema of a policy document, for editors. */
export function policyJsonSchema(): object {
  return z.toJSONSchema(policyDocumentSchema, { io: 'input' })
}
