import * as z from 'zod'
import { modeSchema } from '../policy/document-parts.ts'
import { stanceSchema } from '../policy/document.ts'
import type { Condition } from '../rings/definition.ts'
import { listenSchema } from './listen-schema.ts'
import { policyBundleSchema } from './policy-bundle-schema.ts'
import { duration } from '../policy/duration.ts'
import { size } from './quantities.ts'
import { ringsSchema, type RingDocument } from './ring-schema.ts'
import { trustSchema, type TrustDocument, type TrustRootEntry } from './trust-schema.ts'
import { upstreamsSchema } from './upstream-schema.ts'

/** The configuration file: the one schema from which its checks, defaults, JSON Schema and reference page come. */

const file = z.string().min(1)

const policies = z
  .strictObject({
    directory: file
      .optional()
      .describe('Directory of policy documents (`*.yaml`, `*.yml`) and their keys (`*.pem`, `*.pub`).'),
    reloadEvery: z
      .union([z.literal('off'), duration('1s', '1h')])
      .prefault('5s')
      .describe(
        'How often the directory is looked at for changes. off: only SIGHUP and `POST /policies/reload` do. See policy-reload.md.',
      ),
    bundle: policyBundleSchema.optional(),
    defaultMode: modeSchema.default('observe').describe('Mode of a policy that says none.'),
    unmatched: modeSchema
      .default('observe')
      .describe('What happens to images that no policy matches: nothing, a warning, a refusal.'),
    defaultStance: stanceSchema
      .default('closed')
      .describe(
        'What a policy that says none does with an image that cannot be judged now: hold it, serve what was satisfied ' +
          'before, or serve it within a budget. See stance.md.',
      ),
    stanceLimit: stanceSchema
      .optional()
      .describe('The laxest stance that any policy may have here; the stricter of the two counts.'),
  })
  .prefault({})
  .transform(({ reloadEvery, ...rest }) => ({
    ...rest,
    reloadEveryMs: reloadEvery === 'off' ? undefined : reloadEvery,
  }))
  .describe('Acceptance policies; see policy.md.')

const outages = z
  .strictObject({
    lastVerifiedMaxAge: duration('1m', '365d')
      .prefault('30d')
      .describe('Stance last-verified: how long ago an image may have been satisfied last.'),
    openImagesMax: z
      .int()
      .min(1)
      .max(10_000)
      .default(50)
      .describe('Stance open: how many images one outage may let pass unjudged.'),
    openFor: duration('1m', '30d').prefault('4h').describe('Stance open: how long after the first of them.'),
    reviewEvery: duration('1s', '1h')
      .prefault('30s')
      .describe('How often images that were let pass unjudged are judged again.'),
  })
  .prefault({})
  .transform(({ lastVerifiedMaxAge, openFor, reviewEvery, ...rest }) => ({
    ...rest,
    lastVerifiedMaxAgeMs: lastVerifiedMaxAge,
    openForMs: openFor,
    reviewEveryMs: reviewEvery,
  }))
  .describe('What happens while an image cannot be judged; see stance.md.')

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
    memoryBytesMax: size('1MiB', '64GiB').prefault('32MiB').describe('Manifests and verdicts in memory.'),
    evidenceBytesMax: size('1MiB', '1TiB').prefault('1GiB').describe('Signatures and attestations on disk.'),
    tagTtl: duration('0s', '1d')
      .prefault('30s')
      .describe(
        'How long a tag is believed before its registry is asked; one that is pulled late in this time is asked for meanwhile.',
      ),
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

const WORKERS_MAX = 64

const workers = z
  .union([z.literal('auto'), z.int().min(1).max(WORKERS_MAX)])
  .default(1)
  .describe(
    'Processes that serve clients, with one more that leads them; auto: as many as the machine has cores. ' +
      '1: one process does it all. See workers.md.',
  )

const coldWorkers = z
  .int()
  .min(0)
  .max(WORKERS_MAX)
  .default(0)
  .describe(
    'Processes that pull and verify what nobody has judged yet, so that those who serve clients do not wait for it. ' +
      '0: each worker does it all. See workers.md.',
  )

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
  listen: listenSchema,
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
  trust: trustSchema,
  policies,
  rings: ringsSchema,
  outages,
  refusals,
  foreignUrls,
  cache,
  deadlines,
  log,
  shutdown,
  workers,
  coldWorkers,
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

/** A ring as the program uses it: of tokens only their hashes are left. */
export type RingEntry = Omit<RingDocument, 'when'> & { readonly when: readonly Condition[] }

/** The configuration as the program uses it: defaults filled in, units in names, paths resolved, secrets read. */
export type Config = Omit<ConfigDocument, 'upstreams' | 'trust' | 'rings'> & {
  /** In the order of precedence. */
  readonly rings: readonly RingEntry[]
  /** By canonical registry. */
  readonly upstreams: ReadonlyMap<string, UpstreamEntry>
  readonly trust: Omit<TrustDocument, 'roots' | 'publications'> & {
    readonly roots: ReadonlyMap<string, TrustRootEntry>
    /** Directories by name. */
    readonly publications: ReadonlyMap<string, string>
  }
}

/** The published JSON Schema of the configuration file. */
export function configJsonSchema(): object {
  return { title: 'Portcullis configuration', ...z.toJSONSchema(configSchema, { io: 'input' }) }
}
