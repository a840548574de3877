import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dataListeners, type DataListenerEntry } from './config/listen-schema.ts'
import type { Config } from './config/schema.ts'
import { modeIn, strictest, type Ring } from './policy/ring.ts'
import type { PolicySet, Mode, RingModes } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import { createDoor, type Door } from './rings/door.ts'
import type { Rings } from './rings/recognise.ts'
import type { TufRepositories } from './routes/tuf.ts'
import type { ListenOptions, TlsFiles } from './server.ts'
import type { OpenTrust } from './trust/open.ts'
import { readPublished } from './trust/published.ts'
import { createCredentialSource, type Credential, type CredentialSource } from './upstream/credentials.ts'
import type { RouteEntry } from './upstream/route.ts'

/** The configuration as each part wants it. */

/** Credentials by the exact host that they are for, which is the upstream's own. */
export function credentialSource(config: Config): CredentialSource {
  const configured = [...config.upstreams.values()].flatMap(({ url, auth }): [string, Credential][] =>
    auth === undefined ? [] : [[new URL(url).host, { kind: 'basic', ...auth }]],
  )
  const { dockerConfig } = config
  return createCredentialSource({
    configured: new Map(configured),
    ...(dockerConfig === undefined ? {} : { dockerConfigPath: dockerConfig }),
    spawn,
    readFile: (path) => readFile(path),
    now: Date.now,
  })
}

export function routeTable(config: Config): readonly RouteEntry[] {
  return [...config.upstreams.values()].map(({ registry, aliases, virtualHosts }) => ({
    registry,
    aliases,
    virtualHosts,
  }))
}

/** Where every listener is to be where clients pull, with the texts of its files; `listen.data` first. */
export async function listenerPlaces({ listen }: Pick<Config, 'listen'>): Promise<readonly ListenOptions[]> {
  return await Promise.all(
    dataListeners(listen).map(async ({ host, port, tls }) => ({
      host,
      port,
      tls: tls === undefined ? undefined : await readTls(tls),
    })),
  )
}

/** The same listeners in the same order at these places, with what each makes of who comes. */
export function dataListenersAt(
  { listen, rings: configured }: Pick<Config, 'listen' | 'rings'>,
  rings: Rings,
  places: readonly ListenOptions[],
): readonly DataListener[] {
  const known = configured.flatMap(({ when }) => when.flatMap(({ tokens = [] }) => tokens))
  return dataListeners(listen).flatMap(({ name, authentication }, index) => {
    const at = places[index]
    if (at === undefined) throw new TypeError(`listener ${name} has no place`)
    const tokens = authentication === 'token' ? known : undefined
    return [{ name, at, door: createDoor(rings, { listener: name, tokens }) }]
  })
}

export type DataListener = {
  readonly name: string
  readonly at: ListenOptions
  readonly door: Door
}

async function readTls({
  cert,
  key,
  clientCa,
  clientCertificate,
}: NonNullable<DataListenerEntry['tls']>): Promise<TlsFiles> {
  const read = async (path: string): Promise<string> => await readFile(path, 'utf8')
  return {
    cert: await read(cert),
    key: await read(key),
    clientCa: clientCa === undefined ? undefined : await read(clientCa),
    clientCertificate,
  }
}

type Rule = { readonly modes: RingModes }

/**
 * The strictest mode that any rule has for an image in the ring: those that match it, or the one for images without a policy.
 * A revocation that matches may hit the image or not.
 */
export function strictestMode(
  { unmatched }: Pick<PolicySet, 'unmatched'>,
  { policies, revocations }: { policies: readonly Rule[]; revocations: readonly Rule[] },
  ring: Ring,
): Mode {
  const modes = [...policies, ...revocations].map((rule) => modeIn(rule.modes, ring.name))
  return strictest(policies.length === 0 ? [unmatched, ...modes] : modes)
}

export function countLoaded({ policies }: Pick<Metrics, 'policies'>, set: PolicySet): void {
  for (const mode of ['off', 'observe', 'enforce'] as const) {
    policies.set({ mode }, set.policies.filter((policy) => policy.mode === mode).length)
  }
}

/** The repositories that this process mirrors. */
export function mirroredFiles({ mirrors }: Pick<OpenTrust, 'mirrors'>): TufRepositories {
  return new Map([...mirrors].map(([name, mirror]) => [name, (path: string) => mirror()?.file(path)]))
}

/** What is served again under `/tuf/<name>/`: mirrored repositories, and those of our own. */
export function tufRepositories(
  { trust }: Pick<Config, 'trust'>,
  mirrored: TufRepositories,
): TufRepositories {
  const published = [...trust.publications].map(([name, directory]): Repository => [
    name,
    (path) => readPublished(directory, path),
  ])
  return new Map([...mirrored, ...published])
}

type Repository = TufRepositories extends ReadonlyMap<infer Name, infer Read> ? [Name, Read] : never
