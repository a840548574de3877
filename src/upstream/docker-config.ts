import { z } from 'zod'
import { parseRegistry } from '../oci/reference.ts'
import type { Credential } from './credentials.ts'

/** The parts of docker's `config.json` that concern credentials, by exact registry host. */
export type DockerConfig = {
  readonly credentials: ReadonlyMap<string, Credential>
  /** Helper names by host (`credHelpers`). */
  readonly helpers: ReadonlyMap<string, string>
  /** Asked for every other host (`credsStore`). */
  readonly defaultHelper: string | undefined
}

const AuthEntry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
})

const ConfigFile = z.object({
  auths: z.record(z.string(), AuthEntry).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
})

/**
 * The host that a key stands for: `ghcr.io`, `https://ghcr.io`, `https://index.docker.io/v1/`. A key with any other path
 * (podman's per-repository entries) is for less than the host, so it gives nothing.
 */
function keyHost(key: string): string | undefined {
  const url = URL.parse(key.includes('://') ? key : `https://${key}`)
  if (url === null || url.username !== '' || url.search !== '' || url.hash !== '') return undefined
  if (!/^\/?(?:v[12]\/?)?$/.test(url.pathname)) return undefined
  return parseRegistry(url.host) ?? url.host
}

function credentialOf(entry: z.infer<typeof AuthEntry>): Credential | undefined {
  if (entry.identitytoken !== undefined && entry.identitytoken !== '') {
    return { kind: 'identity-token', token: entry.identitytoken }
  }
  const pair = Buffer.from(entry.auth ?? '', 'base64').toString('utf8')
  const colon = pair.indexOf(':')
  const username = colon > 0 ? pair.slice(0, colon) : (entry.username ?? '')
  // docker pads the pair with NUL bytes in some versions.
  const password = colon > 0 ? pair.slice(colon + 1).replace(/\0+$/, '') : (entry.password ?? '')
  return username === '' ? undefined : { kind: 'basic', username, password }
}

/** Reads a `config.json`; undefined where it is none. */
export function parseDockerConfig(bytes: Buffer): DockerConfig | undefined {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
  const parsed = ConfigFile.safeParse(json)
  if (!parsed.success) return undefined
  const credentials = new Map<string, Credential>()
  for (const [key, entry] of Object.entries(parsed.data.auths ?? {})) {
    const host = keyHost(key)
    const credential = credentialOf(entry)
    if (host !== undefined && credential !== undefined) credentials.set(host, credential)
  }
  const helpers = new Map<string, string>()
  for (const [key, helper] of Object.entries(parsed.data.credHelpers ?? {})) {
    const host = keyHost(key)
    if (host !== undefined) helpers.set(host, helper)
  }
  return { credentials, helpers, defaultHelper: parsed.data.credsStore }
}
