import * as z from 'zod'
import { DEFAULT_RING } from '../policy/ring.ts'
import { stanceSchema } from '../policy/document.ts'
import { parseIdentity } from '../rings/certificate.ts'
import { parseNetwork } from '../rings/network.ts'

/** Each is looked at for every new connection. */
const RINGS_MAX = 64
const ALTERNATIVES_MAX = 64
const NETWORKS_MAX = 1024
const NAMES_MAX = 256
/** Each is compared with what a client shows, on every request. */
const TOKENS_MAX = 256

/** Headers that clients, proxies and load balancers send of their own accord: none of them says which ring a node is in. */
const TAKEN =
  /^(?:accept|authorization|cache-control|cdn|cf|connection|content|cookie|date|dnt|docker|early-data|expect|fastly|fly|forwarded|from|host|if|keep-alive|max-forwards|oci|origin|pragma|prefer|priority|proxy|range|referer|sec|te|traceparent|tracestate|trailer|transfer-encoding|true-client-ip|upgrade|user-agent|via|warning|x-amz|x-amzn|x-b3|x-client-ip|x-cloud-trace-context|x-cluster-client-ip|x-correlation-id|x-envoy|x-forwarded|x-http-method-override|x-original|x-real-ip|x-request-id|x-requested-with)(?:-.*)?$/i

const networks = z
  .array(
    z
      .string()
      .refine(
        (text) => parseNetwork(text) !== undefined,
        'expected a network such as 10.0.0.0/8 or fd00::/8',
      ),
  )
  .min(1)
  .max(NETWORKS_MAX)

const header = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/, 'expected the name of a header')
      .refine(
        (name) => !TAKEN.test(name),
        'expected a name of your own such as X-Ring: clients or proxies send this one themselves',
      )
      .describe('A name of your own, in any case.'),
    value: z
      .string()
      .max(256)
      .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, 'expected printable ASCII')
      .describe('Compared exactly.'),
    from: networks.describe(
      'From where it counts: anybody can send any header. The address is that of the connection.',
    ),
  })
  .describe('A request header, as `hosts.toml` of containerd sets it.')

const tokens = z
  .strictObject({
    sha256: z
      .array(
        z.string().regex(/^[0-9a-f]{64}$/, 'expected the SHA-256 of a token, as 64 lower-case hex digits'),
      )
      .max(TOKENS_MAX)
      .default([])
      .describe(
        'Hex SHA-256 of tokens that have at least 128 bits of chance in them: the hash is no secret.',
      ),
    files: z
      .array(z.string().min(1))
      .max(TOKENS_MAX)
      .default([])
      .describe('Files with one token each, read at start. At least 20 characters.'),
  })
  .refine(({ sha256, files }) => sha256.length + files.length > 0, 'found no token, expected at least one')
  .describe('Shown as `Authorization: Bearer`, or as the password of `docker login`; any one of them.')

const condition = z
  .strictObject({
    listener: z.string().min(1).optional().describe('`data`, or the name of an additional listener.'),
    hosts: z
      .array(z.string().regex(/^[A-Za-z0-9.-]{1,253}$/, 'expected a host name without a port'))
      .min(1)
      .max(NAMES_MAX)
      .optional()
      .describe('Names by which the client asks for this proxy. A client may give any.'),
    header: header.optional(),
    cidrs: networks
      .optional()
      .describe('Networks of clients. The address is that of the connection, never that of X-Forwarded-For.'),
    clientCertificates: z
      .array(
        z
          .string()
          .refine(
            (text) => parseIdentity(text) !== undefined,
            'expected DNS:name, URI:uri, email:address, or sha256: with 64 lower-case hex digits',
          ),
      )
      .min(1)
      .max(NAMES_MAX)
      .optional()
      .describe(
        'A subject alternative name of the client certificate (`DNS:`, `URI:`, `email:`), compared exactly, or its fingerprint ' +
          '(`sha256:`); any one of them. Needs `tls.clientCa` at the listener.',
      ),
    tokens: tokens.optional(),
  })
  .refine((fields) => Object.values(fields).some((value) => value !== undefined), {
    error: 'found nothing, expected at least one field: it would recognise every client',
  })

const ring = z
  .strictObject({
    name: z
      .string()
      .max(63)
      .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, 'expected lower case letters, digits, dots and dashes')
      .describe(`What policies call it. \`${DEFAULT_RING}\` is the ring of all others, and has no \`when\`.`),
    when: z
      .array(condition)
      .max(ALTERNATIVES_MAX)
      .default([])
      .describe('Alternatives; of one of them all fields must hold.'),
    stanceLimit: stanceSchema
      .optional()
      .describe('The laxest stance that any policy may have in this ring; the stricter of the two counts.'),
  })
  .superRefine(({ name, when }, context) => {
    const isDefault = name === DEFAULT_RING
    if (isDefault === (when.length === 0)) return
    const message = isDefault
      ? 'found alternatives of the default ring, which has all clients that no other recognises'
      : 'found nothing, expected by what its clients are recognised'
    context.addIssue({ code: 'custom', path: ['when'], message })
  })

export const ringsSchema = z
  .array(ring)
  .max(RINGS_MAX)
  .default([])
  .describe(
    'Groups of clients that share a rollout stage, the first that recognises a client wins; see rings.md.',
  )

export type RingDocument = z.output<typeof ringsSchema>[number]
