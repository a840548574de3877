import * as z from 'zod'
import type { Path } from '../policy/problem.ts'

const PORT_MAX = 65_535
const ADDITIONAL_MAX = 64

const file = z.string().min(1)

function port(value: number): z.ZodDefault<z.ZodInt> {
  return z.int().min(0).max(PORT_MAX).default(value)
}

const host = z.string().min(1).default('127.0.0.1').describe('Address to bind.')

const tls = z
  .strictObject({
    cert: file.describe('PEM file: the certificate and its chain.'),
    key: file.describe('PEM file: the private key.'),
    clientCa: file
      .optional()
      .describe(
        'PEM file: the authorities whose client certificates count. Clients are asked for one. See rings.md.',
      ),
    clientCertificate: z
      .enum(['optional', 'required'])
      .optional()
      .describe(
        'With clientCa: whether a client may come without a certificate, or with one that does not count.',
      ),
  })
  .optional()
  .describe('Serve HTTPS. Without it, put something in front that does.')

const authentication = z
  .enum(['none', 'token'])
  .default('none')
  .describe(
    'token: 401 for whoever shows no token that a ring lists, at which docker and podman send what `docker login` has stored. ' +
      'See rings.md.',
  )

const data = z
  .strictObject({ host, port: port(5000).describe('0 takes any free port.'), tls, authentication })
  .prefault({})
  .describe('Where clients pull.')

const additional = z
  .array(
    z.strictObject({
      name: z
        .string()
        .max(63)
        .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, 'expected lower case letters, digits, dots and dashes')
        .describe('What `rings[].when[].listener` calls it.'),
      host,
      port: z.int().min(0).max(PORT_MAX).describe('0 takes any free port.'),
      tls,
      authentication,
    }),
  )
  .max(ADDITIONAL_MAX)
  .default([])
  .describe('More listeners where clients pull, so that rings can be told apart by them.')

const admin = z
  .strictObject({
    host,
    port: port(5001).describe('0 takes any free port.'),
    names: z
      .array(z.string().regex(/^[a-z0-9.-]{1,253}$/, 'expected a host name'))
      .max(64)
      .default([])
      .describe(
        'Names under which it is asked, by scrapers of metrics too, beside addresses, localhost and `host`. Others are refused: ' +
          'a web page may have given its own name to this address.',
      ),
  })
  .prefault({})
  .describe('Health, metrics and decisions. Not for clients: do not expose it.')

export const listenSchema = z.strictObject({ data, additional, admin }).prefault({}).describe('Listeners.')

export type ListenDocument = z.output<typeof listenSchema>

/** A listener where clients pull. */
export type DataListenerEntry = ListenDocument['additional'][number]

/** The names of `listen.data` and `listen.admin`. */
export const DATA_LISTENER = 'data'
export const ADMIN_LISTENER = 'admin'

/** Every listener where clients pull; `listen.data` first. */
export function dataListeners({
  data: first,
  additional: others,
}: ListenDocument): readonly DataListenerEntry[] {
  return [{ name: DATA_LISTENER, ...first }, ...others]
}

/** The same, each with where the configuration says it. */
export function listenerPaths(listen: ListenDocument): readonly (readonly [Path, DataListenerEntry])[] {
  return dataListeners(listen).map((listener, index) => [
    index === 0 ? ['listen', 'data'] : ['listen', 'additional', index - 1],
    listener,
  ])
}
