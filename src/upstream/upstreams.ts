import { createRegistryClient, type RegistryClientDeps } from './client.ts'
import type { UpstreamConfig } from './config.ts'
import type { RegistryClient, Upstreams } from './types.ts'

/** One client for each namespace. Exactly one: a name is never searched for in several registries. */
export function createUpstreams(
  configs: readonly UpstreamConfig[],
  /** What each client is given; apart for each, so that its requests can be counted apart. */
  depsOf: (registry: string) => RegistryClientDeps,
): Upstreams & { close(): Promise<void> } {
  const clients = new Map<string, RegistryClient>()
  for (const config of configs) {
    if (clients.has(config.registry)) throw new TypeError(`two upstreams for ${config.registry}`)
    clients.set(config.registry, createRegistryClient(config, depsOf(config.registry)))
  }
  return {
    client: (registry) => clients.get(registry),
    async close() {
      await Promise.all([...clients.values()].map((client) => client.close()))
    },
  }
}
