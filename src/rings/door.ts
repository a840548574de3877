import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Ring } from '../policy/ring.ts'
import { identitiesOf, type ClientCertificate } from './certificate.ts'
import { ringOf, type RequestFacts, type Rings } from './recognise.ts'
import { createTokenMatcher, tokenOf } from './token.ts'

/** What a listener makes of those who ask there. */
export type Door = {
  /** The ring of who asks this on that connection. The same head means another ring on another connection. */
  ringOf(socket: Socket, request: RequestFacts): Ring
  /** Whether who asks must be told to show a token first. */
  isClosedTo(request: RequestFacts): boolean
}

export type DoorOptions = {
  /** Name of the listener. */
  readonly listener: string
  /** Hex SHA-256 of those that open it; undefined: it stands open. */
  readonly tokens?: readonly string[] | undefined
}

export function createDoor(rings: Rings, { listener, tokens }: DoorOptions): Door {
  return { ringOf: createReader(rings, listener), isClosedTo: createLock(tokens) }
}

/** Reads nothing until somebody wants to know. */
export function requestFacts(incoming: IncomingMessage): RequestFacts {
  return { header: (name) => only(incoming.headersDistinct[name]) }
}

/** The same, without keeping the request and its connection in memory. */
export function lastingFacts({ headersDistinct }: IncomingMessage): RequestFacts {
  return { header: (name) => only(headersDistinct[name]) }
}

function only(values: readonly string[] | undefined): string | undefined {
  return values?.length === 1 ? values[0] : undefined
}

/** What follows from the connection is worked out once for all of its requests. */
function createReader(rings: Rings, listener: string): Door['ringOf'] {
  const { fallback } = rings
  if (rings.rings.length === 0) return () => fallback
  const known = new WeakMap<Socket, ReturnType<Rings['candidates']>>()
  return (socket, request) => {
    let candidates = known.get(socket)
    if (candidates === undefined) {
      const certificate = certificateOf(socket)
      candidates = rings.candidates({ listener, address: socket.remoteAddress, certificate })
      known.set(socket, candidates)
    }
    return ringOf(rings, candidates, request)
  }
}

function createLock(tokens: readonly string[] | undefined): Door['isClosedTo'] {
  if (tokens === undefined) return () => false
  const matches = createTokenMatcher(tokens)
  return (request) => !matches(tokenOf(request.header('authorization')))
}

/** One that the listener's own CA has not issued, or that was not valid when it was shown, is none. */
function certificateOf(socket: Socket): ClientCertificate | undefined {
  if (!isEncrypted(socket) || !socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  return certificate === undefined ? undefined : identitiesOf(certificate)
}

/** As node:tls says itself; a listener without TLS does not wait for it to be loaded. */
function isEncrypted(socket: Socket): socket is TLSSocket {
  return 'encrypted' in socket && socket.encrypted === true
}
