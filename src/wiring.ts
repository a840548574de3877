import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { Config } from './config/schema.ts'
import type { PolicySet, Mode, Policy } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import type { TufRepositories } from './routes/tuf.ts'
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

export async function loadTls(config: Config): Promise<{ cert: string; key: string } | undefined> {
  const { tls } = config.listen.data
  if (tls === undefined) return undefined
  const [cert, key] = await Promise.all([readFile(tls.cert, 'utf8'), readFile(tls.key, 'utf8')])
  return { cert, key }
}

/** The strictest mode that any rule has for an image: those that match it, or the one for images without a policy. */
export function strictestMode(set: PolicySet, matching: readonly Policy[]): Mode {
  const modes = matching.length === 0 ? [set.unmatched] : matching.map(({ mode }) => mode)
  return modes.includes('enforce') ? 'enforce' : modes.includes('observe') ? 'observe' : 'off'
}

export function countLoaded({ policies }: Pick<Metrics, 'policies'>, set: PolicySet): void {
  for (const mode of ['off', 'observe', 'enforce'] as const) {
    policies.set({ mode }, set.policies.filter((policy) => policy.mode === mode).length)
  }
}

/** What is served again under `/tuf/<name>/`: mirrored repositories, and those of our own. */
export function tufRepositories({ trust }: Pick<Config, 'trust'>, { mirrors }: OpenTrust): TufRepositories {
  const mirrored = [...mirrors].map(([name, mirror]): Repository => [name, (path) => mirror()?.file(path)])
  const published = [...trust.publications].map(([name, directory]): Repository => [
    name,
    (path) => readPublished(directory, path),
  ])
  return new Map([...mirrored, ...published])
}

type Repository = TufRepositories extends ReadonlyMap<infer Name, infer Read> ? [Name, Read] : never
