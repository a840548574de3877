import * as z from 'zod'
import { ALWAYS, exactlyOneOf, given, idle, momentSchema, text } from './field-rules.ts'

/** Signers with a long-lived key, as a policy document names them. */

const has = (keys: readonly string[]) => (value: unknown) => given(value, keys).length > 0
const lacks = (keys: readonly string[]) => (value: unknown) => given(value, keys).length === 0

export const keySchema = z
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
    validFrom: momentSchema
      .optional()
      .describe(
        'Only what was signed from then on counts, by a time that `trustRoot` vouches for; not with `keySet`.',
      ),
    validUntil: momentSchema
      .optional()
      .describe(
        'Only what was signed before counts, by a time that `trustRoot` vouches for; not with `keySet`.',
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
        'Trust root whose logs count (with `transparencyLog: required`), and whose times say when something was signed ' +
          '(with `keySet`, `validFrom`, `validUntil` or `maxAge`). Default: public-good.',
      ),
  })
  .superRefine(exactlyOneOf(['data', 'file', 'kms', 'keySet']), ALWAYS)
  .superRefine(
    idle(
      ['hashAlgorithm', 'padding'],
      lacks(['data', 'file']),
      'which has no effect here; KMS and key sets say how their keys sign',
    ),
    ALWAYS,
  )
  .superRefine(
    idle(
      ['validFrom', 'validUntil'],
      has(['keySet']),
      'which has no effect here; the key set gives each of its keys a window',
    ),
    ALWAYS,
  )
  .superRefine(({ validFrom, validUntil }, context) => {
    if (validFrom === undefined || validUntil === undefined) return
    if (new Date(validFrom) < new Date(validUntil)) return
    const message = 'found no time between validFrom and validUntil, expected a later one'
    context.addIssue({ code: 'custom', path: ['validUntil'], message })
  })
  .describe('Signers with a long-lived key.')

export type KeyDocument = z.output<typeof keySchema>

/** Whether it takes a trust root to say if a signature by the key counts, beside how old it may be. */
export function asksTrustRoot({ transparencyLog, keySet, validFrom, validUntil }: KeyDocument): boolean {
  return (
    transparencyLog === 'required' ||
    keySet !== undefined ||
    validFrom !== undefined ||
    validUntil !== undefined
  )
}
