import * as z from 'zod'
import { parseRegistry } from '../oci/reference.ts'
import { duration } from '../policy/duration.ts'

const NAMES_MAX = 64

/** Public registries that need no account: what a start without configuration serves. */
export const DEFAULT_UPSTREAMS = {
  'docker.io': { url: 'https://registry-1.docker.io', realmHosts: ['auth.docker.io'] },
  'ghcr.io': {},
  'quay.io': {},
  'gcr.io': {},
  'registry.k8s.io': {},
  'mcr.microsoft.com': {},
  'public.ecr.aws': {},
  'registry.gitlab.com': { realmHosts: ['gitlab.com'] },
}

const host = z
  .string()
  .refine((value) => parseRegistry(value) !== undefined, 'expected a host, with a port where it has one')

const hostName = z
  .string()
  .refine(
    (value) => !value.includes(':') && parseRegistry(value) !== undefined,
    'expected a host name without a port',
  )

const registry = z
  .string()
  .refine(
    (value) => parseRegistry(value) === value,
    'expected a registry host in its canonical form, such as ghcr.io (docker.io for every name of Docker Hub)',
  )

const auth = z
  .strictObject({
    username: z.string().min(1),
    password: z.string().min(1).optional().describe('Better kept in `passwordFile` or the environment.'),
    passwordFile: z
      .string()
      .min(1)
      .optional()
      .describe('File that holds the password; one line break at its end is dropped.'),
  })
  .superRefine(
    (value, context) => {
      const given = [value.password, value.passwordFile].filter((secret) => secret !== undefined).length
      if (given === 1) return
      const message = `found ${given === 0 ? 'neither' : 'both'}, expected either password or passwordFile`
      context.addIssue({ code: 'custom', message })
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  )
  .describe('Credentials for this upstream; they are sent to its own host and `realmHosts` only.')

const timeouts = z
  .strictObject({
    connect: duration('100ms', '1m').prefault('3s').describe('Until a connection is there, TLS included.'),
    headers: duration('100ms', '5m')
      .prefault('10s')
      .describe(
        'From a request to the last header of its answer. At most half of `deadlines.pull` counts: a registry that hangs ' +
          'must be found out while somebody still waits for it.',
      ),
    body: duration('1s', '10m').prefault('30s').describe('Between two pieces of a body.'),
  })
  .prefault({})

const upstream = z
  .strictObject({
    url: z
      .url({
        protocol: /^https?$/,
        error: 'expected a URL such as https://registry.example.com, with its scheme',
      })
      .refine((value) => isBase(value), 'expected a URL without query, fragment and credentials')
      .optional()
      .describe(
        'Where the registry answers; a path is put before every repository name. Default: `https://` and the registry. ' +
          'Plain `http://` must be written out.',
      ),
    aliases: z
      .array(host)
      .max(NAMES_MAX)
      .default([])
      .describe('Other namespaces (`?ns=` or path prefix) that mean this registry.'),
    virtualHosts: z
      .array(hostName)
      .max(NAMES_MAX)
      .default([])
      .describe('`Host` names under which this proxy itself stands for this registry.'),
    blobs: z
      .enum(['cache', 'stream', 'redirect'])
      .default('cache')
      .describe(
        'Layers: kept on disk; passed through; or left to the place that the upstream redirects to, which clients must then reach.',
      ),
    auth: auth.optional(),
    ca: z
      .string()
      .min(1)
      .optional()
      .describe("PEM file of certificate authorities to trust for this upstream beside the system's."),
    allowPrivateAddresses: z
      .boolean()
      .default(false)
      .describe('Whether the upstream, its realm and its redirects may be at a loopback or private address.'),
    realmHosts: z
      .array(host)
      .max(NAMES_MAX)
      .default([])
      .describe('Hosts beside its own that may issue tokens for this upstream and see its credentials.'),
    concurrency: z.int().min(1).max(1024).default(64).describe('Connections at a time.'),
    timeouts: timeouts.describe('Time limits of one request.'),
    retries: z
      .int()
      .min(0)
      .max(5)
      .default(2)
      .describe('Further attempts after an answer or fault that may pass: 429, 5xx, a broken connection.'),
  })
  .transform(({ timeouts: { connect, headers, body }, ...rest }) => ({
    ...rest,
    connectTimeoutMs: connect,
    headersTimeoutMs: headers,
    bodyTimeoutMs: body,
  }))

export const upstreamsSchema = z
  .record(registry, upstream)
  .refine((value) => Object.keys(value).length > 0, 'expected at least one registry')
  .prefault(DEFAULT_UPSTREAMS)
  .describe(
    'The registries that can be pulled from, by namespace. A namespace that is not listed is never dialled. ' +
      'Setting this replaces the whole default map.',
  )

function isBase(text: string): boolean {
  // What is no URL at all has been told already.
  if (!URL.canParse(text)) return true
  const url = new URL(text)
  return url.href === url.origin + url.pathname
}
