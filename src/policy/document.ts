import * as z from 'zod'

/** A policy document: the one schema from which its checks, its published JSON Schema and its reference come. */

const NAMES_CHARACTERS_MAX = 63
const IMAGES_MAX = 256
const AUTHORITIES_MAX = 64
const IDENTITIES_MAX = 64
const ATTESTATIONS_MAX = 16

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

export const modeSchema = z.enum(['off', 'observe', 'enforce'])
export const stanceSchema = z.enum(['closed', 'last-verified', 'open'])

const name = z
  .string()
  .max(NAMES_CHARACTERS_MAX)
  .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, 'expected lower case letters, digits, dots and dashes')

const trustRoot = z
  .string()
  .min(1)
  .default('public-good')
  .describe('Name of a trust root of the configuration (`trust.roots`).')

const text = z.string().min(1, 'expected some text')

/** Reported even where a part of the object is wrong, so that one start shows every mistake. */
const ALWAYS = { when: ({ value }: { value: unknown }) => typeof value === 'object' && value !== null }

function given(value: unknown, keys: readonly string[]): readonly string[] {
  const entries = new Map<string, unknown>(Object.entries(value ?? {}))
  return keys.filter((key) => entries.get(key) !== undefined)
}

function oneOf(keys: readonly string[]): (value: unknown, context: z.core.$RefinementCtx) => void {
  return (value, context) => {
    const found = given(value, keys)
    if (found.length === 1) return
    const message = `found ${found.length === 0 ? 'none' : found.join(' and ')}, expected exactly one of ${keys.join(', ')}`
    context.addIssue({ code: 'custom', message })
  }
}

const identity = z
  .strictObject({
    issuer: text.optional().describe('The OIDC issuer that vouched for the signer, compared exactly.'),
    issuerPattern: text.optional().describe('RE2 pattern that must match the whole issuer.'),
    subject: text
      .optional()
      .describe('The subject alternative name of the signing certificate, compared exactly.'),
    subjectPattern: text.optional().describe('RE2 pattern that must match the whole subject.'),
  })
  .superRefine(oneOf(['issuer', 'issuerPattern']), ALWAYS)
  .superRefine(oneOf(['subject', 'subjectPattern']), ALWAYS)

const keyless = z
  .strictObject({
    trustRoot,
    identities: z.array(identity).min(1).max(IDENTITIES_MAX).describe('Who may sign; any one of them.'),
  })
  .describe('Signers with a short-lived certificate of a Sigstore certificate authority.')

const key = z
  .strictObject({
    data: text.optional().describe('The public key, PEM.'),
    file: text.optional().describe('A PEM file below the policies directory, relative to this file.'),
    kms: text
      .optional()
      .describe(
        'A key of AWS KMS as cosign names it: `awskms://[host[:port]]/KEY`. Fetched and kept by the proxy.',
      ),
    keySet: text
      .optional()
      .describe(
        'Name of a key set of the configuration (`trust.roots`, kind `keys`), with validity windows.',
      ),
    hashAlgorithm: z
      .enum(['sha256', 'sha384', 'sha512'])
      .optional()
      .describe(
        'Hash of the signatures, where it is not the default of the key type; with `data` or `file`.',
      ),
    padding: z
      .enum(['pkcs1', 'pss'])
      .optional()
      .describe('Padding of RSA signatures; with `data` or `file`. Default: pkcs1.'),
    transparencyLog: z
      .enum(['required', 'optional'])
      .default('optional')
      .describe('Whether a signature must also be proven to be in a log of `trustRoot`.'),
    trustRoot: text
      .optional()
      .describe(
        'Trust root whose logs count (with `transparencyLog: required`), and whose times place a signature in the window of ' +
          'its key (with `keySet`). Default: public-good.',
      ),
  })
  .superRefine(oneOf(['data', 'file', 'kms', 'keySet']), ALWAYS)
  .superRefine((value, context) => {
    if (given(value, ['data', 'file']).length > 0) return
    for (const field of given(value, ['hashAlgorithm', 'padding'])) {
      const message = `found ${field}, which has no effect here; KMS and key sets say how their keys sign`
      context.addIssue({ code: 'custom', path: [field], message })
    }
  }, ALWAYS)
  .superRefine((value, context) => {
    if (value.trustRoot === undefined || value.transparencyLog === 'required') return
    if (value.keySet !== undefined) return
    const message = 'found trustRoot, which has no effect here; add transparencyLog: required or drop it'
    context.addIssue({ code: 'custom', path: ['trustRoot'], message })
  })
  .describe('Signers with a long-lived key.')

const attestation = z.strictObject({
  name: name.describe('How messages call it.'),
  predicateType: z
    .string()
    .transform((value) => PREDICATE_TYPES.get(value) ?? value)
    .refine(
      (value) => URL.canParse(value),
      `expected a URI or one of ${[...PREDICATE_TYPES.keys()].join(', ')}`,
    )
    .describe(`in-toto predicate type: a URI, or ${[...PREDICATE_TYPES.keys()].join(', ')}.`),
})

const authority = z
  .strictObject({
    name: name.describe('How messages and records call it; unique in its policy.'),
    keyless: keyless.optional(),
    key: key.optional(),
    attestations: z
      .array(attestation)
      .min(1)
      .max(ATTESTATIONS_MAX)
      .optional()
      .describe(
        'Attestations that the signer must have made, all of them. With them no plain signature is asked for; ' +
          'without them a signature is.',
      ),
  })
  .superRefine(oneOf(['keyless', 'key']), ALWAYS)

export const policyDocumentSchema = z.strictObject({
  apiVersion: z.literal('portcullis.dev/v1alpha1'),
  kind: z.literal('ImagePolicy'),
  metadata: z.strictObject({
    name: name
      .refine(
        (value) => value !== 'unmatched',
        'expected another name: this one is the rule for images without a policy',
      )
      .describe('Unique among all policies; refusals and records call the policy by it.'),
  }),
  spec: z.strictObject({
    mode: modeSchema
      .optional()
      .describe('What a violation does: nothing, a warning, a refusal. Default: `policies.defaultMode`.'),
    stance: stanceSchema
      .optional()
      .describe(
        'What is done in mode enforce with an image that cannot be judged now: held, served if it was satisfied before, ' +
          'or served within a budget. Default: `policies.defaultStance`; `policies.stanceLimit` may be stricter.',
      ),
    runbook: z
      .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
      .max(512)
      .optional()
      .describe('Where a person who is refused reads what to do; part of the refusal.'),
    images: z
      .array(z.strictObject({ glob: text.describe('Repositories: `ghcr.io/acme/**`, `nginx`, `*`.') }))
      .min(1)
      .max(IMAGES_MAX)
      .describe('Images that the policy is about; any one glob.'),
    authorities: z
      .array(authority)
      .min(1)
      .max(AUTHORITIES_MAX)
      .describe('Who may vouch for the images; any one of them is enough.'),
  }),
})

export type PolicyDocument = z.output<typeof policyDocumentSchema>
export type AuthorityDocument = PolicyDocument['spec']['authorities'][number]

/** The published JSON Schema of a policy document, for editors. */
export function policyJsonSchema(): object {
  return z.toJSONSchema(policyDocumentSchema, { io: 'input' })
}
