import { isIPv4 } from 'node:net'
import type { KmsReference } from '../../policy/kms-reference.ts'
import { TrustError } from '../trust-error.ts'

export type EndpointSettings = {
  /** URL for references that name no host. Undefined: the AWS environment's, which is that of the region by default. */
  readonly endpoint: string | undefined
  /** `host` or `host:port`, exact, spoken to over plain HTTP: whoever is on the way may then put in a key of their own. */
  readonly plainHttpHosts: readonly string[]
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'))
}

function mayBePlain({ host, hostname }: URL, { plainHttpHosts }: EndpointSettings): boolean {
  return isLoopback(hostname) || plainHttpHosts.includes(host)
}

/**
 * Why nobody should ask at the host that the reference names; undefined where they may. A request carries the access key
 * id and the session token, so that a policy must not choose who gets them: `allowed` (`host` or `host:port`) does.
 */
export function endpointProblem(
  { text, endpoint }: KmsReference,
  allowed: readonly string[],
): string | undefined {
  if (endpoint === undefined) return undefined
  const { host, hostname } = new URL(`https://${endpoint}`)
  if (isLoopback(hostname) || allowed.some((one) => new URL(`https://${one}`).host === host)) return undefined
  return (
    `found ${text}, which would send ${host} requests in the name of this proxy's AWS credentials; ` +
    `if that is a KMS of yours, add ${host} to trust.kms.endpoints`
  )
}

/**
 * Where to ask for the key. A host in the reference is spoken to over TLS, as cosign does, except on loopback, where
 * emulators listen without. Throws TrustError `refused` for a configured `http:` URL that is neither loopback nor listed.
 */
export function endpointOf(reference: KmsReference, settings: EndpointSettings): string | undefined {
  if (reference.endpoint !== undefined) {
    const url = new URL(`http://${reference.endpoint}`)
    return mayBePlain(url, settings) ? url.origin : `https://${reference.endpoint}`
  }
  if (settings.endpoint === undefined) return undefined
  const url = new URL(settings.endpoint)
  if (url.protocol === 'https:' || mayBePlain(url, settings)) return settings.endpoint
  throw new TrustError('refused', `${url.origin} is not loopback: plain HTTP to it must be allowed by name`)
}
