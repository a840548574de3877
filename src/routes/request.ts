import type { IncomingMessage } from 'node:http'
import type { Repository } from '../oci/reference.ts'
import type { Ring } from '../policy/ring.ts'

/** A request after steps 1 and 2: what it asks for, and what must be known of who asks. */
export type RoutedRequest = {
  readonly method: 'GET' | 'HEAD'
  readonly repository: Repository
  /** Raw `?ns=` value, echoed as OCI-Namespace (distribution-spec, "Registry Proxying"). */
  readonly ns: string | undefined
  /** The path before the repository's own name, for relative links. */
  readonly path: string
  /** True for clients that ask the real registry after any error from a mirror. */
  readonly fallsBack: boolean
  /** Address of who asks. */
  readonly client: string
  readonly ring: Ring
  readonly range: string | undefined
  readonly ifRange: string | undefined
}

/**
 * containerd sends `ns` to every mirror and names itself; both it and BuildKit go on to the next host after any error
 * (containerd core/remotes/docker/resolver.go).
 */
export function fallsBack(ns: string | undefined, userAgent: string | undefined): boolean {
  return ns !== undefined || /^(?:containerd|buildkit)\//.test(userAgent ?? '')
}

export function headerOf(incoming: IncomingMessage, name: string): string | undefined {
  const value = incoming.headers[name]
  return Array.isArray(value) ? value[0] : value
}
