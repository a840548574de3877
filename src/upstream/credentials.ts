import { LRUCache } from 'lru-cache'
import { parseRegistry } from '../oci/reference.ts'
import { runCredentialHelper, type Spawn } from './credential-helper.ts'
import { parseDockerConfig, type DockerConfig } from './docker-config.ts'
import { UpstreamError } from './types.ts'

export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth 2 refresh token, as `docker login` stores for some registries. */
  | { readonly kind: 'identity-token'; readonly token: string }

/**
 * What to log in with at a registry, by its exact `host` or `host:port`; undefined means anonymous. Rejects with
 * UpstreamError `unavailable` where a configured source fails: going on anonymously would look like a refusal.
 */
export type CredentialSource = { get(host: string): Promise<Credential | undefined> }

export type CredentialSourceOptions = {
  /** By exact host; Docker Hub's spellings are one host. Wins over everything else. */
  readonly configured: ReadonlyMap<string, Credential>
  /** A `config.json` as `docker login` writes it. */
  readonly dockerConfigPath?: string
  readonly spawn: Spawn
  readonly readFile: (path: string) => Promise<Buffer>
  readonly now: () => number
}

/** Files and helpers are asked again this often, so that a rotated credential is picked up without a restart. */
const CREDENTIAL_LIFETIME_MS = 5 * 60_000
const HOSTS_MAX = 1_000
const DOCKER_CONFIG_BYTES_MAX = 1024 * 1024

/** What docker and its helpers call Docker Hub. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/'

type Held = { readonly credential: Promise<Credential | undefined>; readonly expiresAtMs: number }

function canonical(host: string): string {
  return parseRegistry(host) ?? host
}

/** Credentials never match by substring or by parent domain (CVE-2026-59891): the whole host is the key. */
export function createCredentialSource(options: CredentialSourceOptions): CredentialSource {
  const configured = new Map([...options.configured].map(([host, one]) => [canonical(host), one]))
  const held = new LRUCache<string, Held>({ max: HOSTS_MAX })

  const readConfig = async (path: string): Promise<DockerConfig> => {
    const bytes = await options.readFile(path).catch((cause: unknown) => {
      throw new UpstreamError('unavailable', 'the docker config file cannot be read', { cause })
    })
    const config = bytes.length <= DOCKER_CONFIG_BYTES_MAX ? parseDockerConfig(bytes) : undefined
    if (config === undefined) throw new UpstreamError('unavailable', 'the docker config file is not valid')
    return config
  }

  const lookUp = async (host: string): Promise<Credential | undefined> => {
    if (options.dockerConfigPath === undefined) return undefined
    const config = await readConfig(options.dockerConfigPath)
    const helper = config.helpers.get(host) ?? config.defaultHelper
    const server = host === 'docker.io' ? DOCKER_HUB_KEY : host
    const helped = helper === undefined ? undefined : await runCredentialHelper(helper, server, options.spawn)
    return helped ?? config.credentials.get(host)
  }

  return {
    get(host) {
      const key = canonical(host)
      const fixed = configured.get(key)
      if (fixed !== undefined) return Promise.resolve(fixed)
      const known = held.get(key)
      if (known !== undefined && known.expiresAtMs > options.now()) return known.credential
      const credential = lookUp(key)
      held.set(key, { credential, expiresAtMs: options.now() + CREDENTIAL_LIFETIME_MS })
      // A failure is not remembered: the next request that needs the credential asks again.
      credential.catch(() => held.delete(key))
      return credential
    },
  }
}
