import type { IncomingMessage } from 'node:http'
import type { Answer } from '../http/answer.ts'
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

/** An answer that needed no waiting, and the same to the same request, once more. */
export type WarmAnswer = { readonly answer: Answer; readonly again: AnswerAgain | undefined }

export type AnswerAgain = {
  /** Whether everything that the answer rests on is as it was: then it is the answer still. */
  readonly holds: () => boolean
  /** `client`: address of who asks. `ms`: how long the answer took. */
  told(client: string, ms: number): void
}

/** Who asks on a connection that is gone already. */
export const UNKNOWN_CLIENT = 'unknown'

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
