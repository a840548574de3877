import * as z from 'zod'
import { duration } from '../policy/duration.ts'
import { momentSchema } from '../policy/field-rules.ts'

const KEYS_MAX = 64
const ENDPOINTS_MAX = 64
/** As in `awskms://host[:port]/KEY`: a DNS name, an IPv4 address, or an IPv6 address in brackets. */
const ENDPOINT = /^(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?$/

const file = z.string().min(1)

const moment = momentSchema.transform((text) => new Date(text))

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
  .refine((value) => {
    if (!URL.canParse(value)) return true
    const url = new URL(value)
    return url.href === url.origin + url.pathname
  }, 'expected a URL without query, fragment and credentials')
  .transform((value) => value.replace(/\/+$/, ''))

const rekor = z
  .strictObject({
    url: httpUrl.describe('Where the log answers, such as https://rekor.sigstore.dev.'),
  })
  .describe(
    'A Rekor v1 log of this root in which entries are looked up for signatures that carry none. Without it nothing is.',
  )

/** What every root that comes by TUF has. */
const mirrored = {
  rekor: rekor.optional(),
}

const publicGood = z
  .strictObject({
    kind: z.literal('public-good'),
    mirror: httpUrl.default('https://tuf-repo-cdn.sigstore.dev').describe('Where its TUF repository is.'),
    ...mirrored,
  })
  .describe('The public Sigstore instance; its root is built in, so that a cold start needs no network.')

const tuf = z
  .strictObject({
    kind: z.literal('tuf'),
    url: httpUrl.describe('Where the repository is: its metadata here, its targets under `targets/`.'),
    root: file.optional().describe('The first `root.json` to trust, got by a way that is trusted.'),
    rootDigest: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hexadecimal digits')
      .optional()
      .describe('Or its SHA-256: then it is fetched, and believed if it has this hash.'),
    rootVersion: z
      .int()
      .min(1)
      .max(100_000)
      .default(1)
      .describe('With `rootDigest`, which version of the root that is.'),
    target: z
      .string()
      .regex(/^[A-Za-z0-9._/-]{1,256}$/, 'expected the name of a target')
      .default('trusted_root.json')
      .describe('The target that is the trust root.'),
    ...mirrored,
  })
  .superRefine(
    (value, context) => {
      const given = [value.root, value.rootDigest].filter((one) => one !== undefined).length
      if (given === 1) return
      const message = `found ${given === 0 ? 'neither' : 'both'}, expected either root or rootDigest`
      context.addIssue({ code: 'custom', message })
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  )
  .describe('A TUF repository: mirrored, verified, kept, and served again under `/tuf/<name>/`.')

const pinned = z
  .strictObject({
    kind: z.literal('pinned'),
    path: file.describe('A Sigstore `trusted_root.json`. Read again when it changes.'),
    previous: z
      .strictObject({
        path: file.describe('The document that `path` replaces.'),
        until: moment.describe('From then on only `path` counts.'),
      })
      .optional()
      .describe('For a rotation without a flag day: both are trusted until then.'),
    rekor: rekor.optional(),
  })
  .describe('A file: a private Sigstore instance, or an air gap.')

const pki = z
  .strictObject({
    kind: z.literal('pki'),
    certificates: file.describe(
      'PEM: roots and intermediates of your certificate authorities. Read again when it changes.',
    ),
    times: z
      .string()
      .describe(
        'Another trust root: its logs and timestamp authorities say when something was signed, without which a certificate proves nothing.',
      ),
  })
  .describe('Certificates that your own authorities issue to signers. See docs/pki.md.')

const keys = z
  .strictObject({
    kind: z.literal('keys'),
    keys: z
      .array(
        z.strictObject({
          path: file.describe('A public key, PEM.'),
          hashAlgorithm: z
            .enum(['sha256', 'sha384', 'sha512'])
            .optional()
            .describe('Hash of the signatures, where it is not the default of the key type.'),
          padding: z.enum(['pkcs1', 'pss']).optional().describe('Padding of RSA signatures. Default: pkcs1.'),
          validFrom: moment.optional().describe('What it signs counts from then on.'),
          validUntil: moment
            .optional()
            .describe('What it signs counts until then; later only with a verified time before that.'),
        }),
      )
      .min(1)
      .max(KEYS_MAX),
  })
  .describe('Public keys with the time in which each counts; policies name the set as `key.keySet`.')

const trustRootSchema = z.discriminatedUnion('kind', [publicGood, tuf, pinned, pki, keys])

const kms = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z0-9-]{1,32}$/, 'expected the name of an AWS region')
      .optional()
      .describe('Region of keys whose name has none. Default: that of the AWS environment.'),
    endpoints: z
      .array(
        z
          .string()
          .toLowerCase()
          .regex(ENDPOINT, 'expected host or host:port')
          .refine((text) => URL.canParse(`https://${text}`), 'expected host or host:port'),
      )
      .max(ENDPOINTS_MAX)
      .default([])
      .describe(
        'Hosts (`host[:port]`) that a policy may name in `awskms://host/…`, beside loopback: requests with AWS credentials are sent there.',
      ),
    refreshEvery: duration('1m', '7d').prefault('1h').describe('How often a key is fetched again.'),
    keyMaxAge: duration('1h', '365d')
      .prefault('30d')
      .describe('How long a key is used while its KMS cannot be reached.'),
    overlap: duration('0s', '90d')
      .prefault('7d')
      .describe('When an alias moves to another key, how long the old one counts beside it.'),
  })
  .prefault({})
  .transform(({ refreshEvery, keyMaxAge, overlap, ...rest }) => ({
    ...rest,
    refreshEveryMs: refreshEvery,
    keyMaxAgeMs: keyMaxAge,
    overlapMs: overlap,
  }))
  .describe('Keys that policies name as `awskms://…`. Only their public parts are ever fetched.')

export const trustSchema = z
  .strictObject({
    roots: z
      .record(
        z
          .string()
          .regex(/^[a-z0-9](?:[a-z0-9-]{0,62})$/, 'expected a name of lower case letters, digits and dashes'),
        trustRootSchema,
      )
      .prefault({ 'public-good': { kind: 'public-good' } })
      .describe('Trust roots by the name that policies use. Setting this replaces the default.'),
    refresh: z
      .enum(['on', 'off'])
      .default('on')
      .describe(
        'Whether roots and keys are renewed in the background. off: only `portcullis trust refresh` does.',
      ),
    refreshEvery: duration('1m', '7d')
      .prefault('6h')
      .describe('How often a TUF repository is asked, and files are read again.'),
    staleAfter: duration('1m', '365d')
      .prefault('3d')
      .describe('A root that was not renewed for so long is reported: log, metric, readiness.'),
    unusableAfter: duration('1h', '3650d')
      .prefault('90d')
      .describe('And after so long it is not believed any more: what rests on it cannot be determined.'),
    kms,
    publications: z
      .record(
        z
          .string()
          .regex(/^[a-z0-9](?:[a-z0-9-]{0,62})$/, 'expected a name of lower case letters, digits and dashes'),
        z.strictObject({ directory: file.describe('What `portcullis trust publish` writes.') }),
      )
      .default({})
      .describe('TUF repositories of your own, served under `/tuf/<name>/`.'),
  })
  .prefault({})
  .transform(({ refreshEvery, staleAfter, unusableAfter, ...rest }) => ({
    ...rest,
    refreshEveryMs: refreshEvery,
    staleAfterMs: staleAfter,
    unusableAfterMs: unusableAfter,
  }))
  .describe('Whom to believe about certificates, logs and timestamps.')

/** Where a trust root comes from. */
export type TrustRootEntry = z.output<typeof trustRootSchema>
export type TrustDocument = z.output<typeof trustSchema>
