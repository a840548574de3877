import * as z from 'zod'
import { parseImageReference, splitRegistry } from '../oci/reference.ts'
import { duration } from '../policy/duration.ts'

const SIGNERS_MAX = 16

const text = z.string().min(1)

/** A registry, a repository, and a tag or a digest: nothing of it is guessed. */
function isExplicit(image: string): boolean {
  const { registry, name } = splitRegistry(image)
  return registry !== undefined && /^[^:@]+[:@]/.test(name) && !/:.*@/.test(name)
}

export const bundleImageSchema = text.refine(
  (value) => isExplicit(value) && parseImageReference(value) !== undefined,
  'expected registry/repository:tag or registry/repository@sha256:…',
)

const signer = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/,
        'expected lower case letters, digits, dots and dashes',
      )
      .describe('How messages call it.'),
    key: text.optional().describe('A public key, PEM.'),
    kms: text.optional().describe('A key of AWS KMS as cosign names it: `awskms://[host[:port]]/KEY`.'),
    keyless: z
      .strictObject({
        trustRoot: text.default('public-good').describe('Name of a trust root (`trust.roots`).'),
        issuer: text.describe('The OIDC issuer that vouched for the signer, compared exactly.'),
        subject: text.describe('The subject of the signing certificate, compared exactly.'),
      })
      .optional()
      .describe('Somebody with a short-lived certificate of a Sigstore certificate authority.'),
  })
  .superRefine(
    ({ key, kms, keyless }, context) => {
      const given = [key, kms, keyless].filter((one) => one !== undefined).length
      if (given === 1) return
      const message = `found ${given === 0 ? 'none' : 'more than one'}, expected exactly one of key, kms, keyless`
      context.addIssue({ code: 'custom', message })
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  )

export const policyBundleSchema = z
  .strictObject({
    image: bundleImageSchema.describe(
      'Where it is: `registry/repository:tag`, or `@digest`. The registry is one of `upstreams`.',
    ),
    signers: z.array(signer).min(1).max(SIGNERS_MAX).describe('Whose signatures count.'),
    threshold: z
      .int()
      .min(1)
      .max(SIGNERS_MAX)
      .default(1)
      .describe('How many of the signers must have signed a bundle.'),
    refreshEvery: duration('5s', '1d')
      .prefault('1m')
      .describe('How often the registry is asked for a new one.'),
  })
  .superRefine(({ signers, threshold }, context) => {
    if (threshold <= signers.length) return
    const message = `found ${threshold}, expected at most the number of signers, ${signers.length}`
    context.addIssue({ code: 'custom', path: ['threshold'], message })
  })
  .transform(({ refreshEvery, ...rest }) => ({ ...rest, refreshEveryMs: refreshEvery }))
  .describe('Policies from a signed bundle in a registry, in place of `directory`; see policy-reload.md.')

export type PolicyBundleDocument = z.output<typeof policyBundleSchema>
