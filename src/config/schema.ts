import * as z from 'zod'
import { modeSchema } from '../policy/document.ts'
import { duration, size } from './quantities.ts'
import { upstreamsSchema } from './upstream-schema.ts'

/** The configuration file: the one schema from which its checks, defaults, JSON Schema and reference page come. */

const PORT_MAX = 65_535

const file = z.string().min(1)

function port(value: number): z.ZodDefault<z.ZodInt> {
  return z.int().min(0).max(PORT_MAX).default(value)
}

const listenHost = z.string().min(1).default('127.0.0.1').describe('Address to bind.')

const listen = z
  .strictObject({
    data: z
      .strictObject({
        host: listenHost,
        port: port(5000).describe('0 takes any free port.'),
        tls: z
          .strictObject({
            cert: file.describe('PEM file: the certificate and its chain.'),
            key: file.describe('PEM file: the private key.'),
          })
          .optional()
          .describe('Serve HTTPS. Without it, put something in front that does.'),
      })
      .prefault({})
      .describe('Where clients pull.'),
    admin: z
      .strictObject({ host: listenHost, port: port(5001).describe('0 takes any free port.') })
      .prefault({})
      .describe('Health, metrics and decisions. Not for clients: do not expose it.'),
  })
  .prefault({})
  .describe('Listeners.')

const trustRoot = z.discriminatedUnion('kind', [
  z
    .strictObject({ kind: z.literal('public-good') })
    .describe('The public Sigstore instance; its root is built in, so that a cold start needs no network.'),
  z
    .strictObject({ kind: z.literal('pinned'), path: file.describe('A Sigstore `trusted_root.json`.') })
    .describe('A file: a private Sigstore instance, or an air gap.'),
])

const trust = z
  .strictObject({
    roots: z
      .record(
        z
          .string()
          .regex(/^[a-z0-9](?:[a-z0-9-]{0,62})$/, 'expected a name of lower case letters, digits and dashes'),
        trustRoot,
      )
      .prefault({ 'public-good': { kind: 'public-good' } })
      .describe('Trust roots by the name that policies use. Setting this replaces the default.'),
  })
  .prefault({})
  .describe('Whom to believe about certificates, logs and timestamps.')

const policies = z
  .strictObject({
    directory: file
      .optional()
      .describe('Directory of policy documents (`*.yaml`, `*.yml`) and their keys (`*.pem`, `*.pub`).'),
    defaultMode: modeSchema.default('observe').describe('Mode of a policy that says none.'),
    unmatched: modeSchema
      .default('observe')
      .describe('What happens to images that no policy matches: nothing, a warning, a refusal.'),
  })
  .prefault({})
  .describe('Acceptance policies; see policy.md.')

const refusals = z
  .strictObject({
    hardStop: z
      .enum(['auto', 'off'])
      .default('auto')
      .describe(
        'Answer clients that would go on to another host after a refusal in a way that stops them (auto), ' +
          'or with a plain 403 (off).',
      ),
  })
  .prefault({})
  .describe('How a refusal is said.')

const foreignUrls = z
  .strictObject({
    allowedHosts: z
      .array(z.string().regex(/^[a-z0-9.-]+(?::[0-9]{1,5})?$/, 'expected a host name'))
      .max(256)
      .default([])
      .describe(
        'Hosts from which a manifest may have clients fetch layers (descriptor `urls`), past this proxy.',
      ),
  })
  .prefault({})
  .describe('Layers that clients fetch from elsewhere.')

const cache = z
  .strictObject({
    contentBytesMax: size('64MiB', '1000TiB').prefault('20GiB').describe('Manifests and layers on disk.'),
    memoryBytesMax: size('1MiB', '64GiB').prefault('64MiB').describe('Manifests and verdicts in memory.'),
    evidenceBytesMax: size('1MiB', '1TiB').prefault('1GiB').describe('Signatures and attestations on disk.'),
    tagTtl: duration('0s', '1d')
      .prefault('30s')
      .describe('How long a tag is believed before its registry is asked.'),
    tagStaleIfError: duration('0s', '365d')
      .prefault('24h')
      .describe('How long the last digest of a tag is used while its registry cannot be reached.'),
    violatedTtl: duration('0s', '1h')
      .prefault('30s')
      .describe('How long a violation is remembered: a new signature counts no later than this.'),
  })
  .prefault({})
  .transform(({ tagTtl, tagStaleIfError, violatedTtl, ...sizes }) => ({
    ...sizes,
    tagTtlMs: tagTtl,
    tagStaleIfErrorMs: tagStaleIfError,
    violatedTtlMs: violatedTtl,
  }))
  .describe('What is kept, how much and how long.')

const deadlines = z
  .strictObject({
    pull: duration('100ms', '5m')
      .prefault('20s')
      .describe('Of one manifest request, all steps together. Passing it makes the verdict undetermined.'),
  })
  .prefault({})
  .transform(({ pull }) => ({ pullMs: pull }))
  .describe('Time limits.')

const log = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
      .default('info')
      .describe('The least severe entries that are written.'),
  })
  .prefault({})
  .describe('The log: JSON lines on standard output.')

const shutdown = z
  .strictObject({
    drain: duration('0s', '10m')
      .prefault('25s')
      .describe('After SIGTERM, how long running requests may take to end.'),
  })
  .prefault({})
  .transform(({ drain }) => ({ drainMs: drain }))
  .describe('The end.')

export const configSchema = z.strictObject({
  listen,
  dataDirectory: file.default('./data').describe('State and caches. Relative to this file, like every path.'),
  upstreams: upstreamsSchema,
  defaultUpstream: z
    .string()
    .nullable()
    .default('docker.io')
    .describe(
      'Registry of a request that names none (a Docker Hub mirror). null: such a request is not found.',
    ),
  dockerConfig: file
    .optional()
    .describe('A docker `config.json` whose credentials and helpers serve upstreams without `auth`.'),
  trust,
  policies,
  refusals,
  foreignUrls,
  cache,
  deadlines,
  log,
  shutdown,
})

export type ConfigDocument = z.output<typeof configSchema>

type UpstreamDocument = ConfigDocument['upstreams'][string]

/** One upstream as the program uses it. */
export type UpstreamEntry = Omit<UpstreamDocument, 'url' | 'auth' | 'ca'> & {
  readonly registry: string
  /** Without a slash at its end. */
  readonly url: string
  readonly auth?: { readonly username: string; readonly password: string }
  /** The PEM certificates themselves. */
  readonly ca?: string
}

/** Where a trust root comes from. */
export type TrustRootEntry = z.output<typeof trustRoot>

/** The configuration as the program uses it: defaults filled in, units in names, paths resolved, secrets read. */
export type Config = Omit<ConfigDocument, 'upstreams' | 'trust'> & {
  /** By canonical registry. */
  readonly upstreams: ReadonlyMap<string, UpstreamEntry>
  readonly trust: { readonly roots: ReadonlyMap<string, TrustRootEntry> }
}

/** The published JSON Schema of the configuration file. */
export function configJsonSchema(): object {
  return { title: 'Portcullis configuration', ...z.toJSONSchema(configSchema, { io: 'input' }) }
}
