import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { Config } from './config/schema.ts'
import type { PolicySet, Mode, Policy } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'
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

export function countLoaded(
  metrics: Pick<Metrics, 'policies' | 'trustInfo'>,
  set: PolicySet,
  trust: TrustSnapshot,
): void {
  for (const mode of ['off', 'observe', 'enforce'] as const) {
    metrics.policies.set({ mode }, set.policies.filter((policy) => policy.mode === mode).length)
  }
  for (const [root, { version }] of trust.roots)
    metrics.trustInfo.set({ root, version: version.slice(0, 19) }, 1)
}
