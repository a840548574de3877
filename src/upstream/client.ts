import { lookup } from 'node:dns/promises'
import { createConnections, type Connections } from '../connections.ts'
import { VERSION } from '../version.ts'
import { abortable } from './abort.ts'
import {
  assertDiallable,
  createAddressGuard,
  guardedLookup,
  type AddressGuard,
  type Resolve,
} from './address-guard.ts'
import { Authenticator } from './authenticator.ts'
import { createBlobMethods } from './blobs.ts'
import type { UpstreamConfig } from './config.ts'
import type { CredentialSource } from './credentials.ts'
import { createExchange, type Exchange } from './exchange.ts'
import { createListingMethods } from './listings.ts'
import { createManifestMethods } from './manifests.ts'
import { Transport, type TransportDeps } from './transport.ts'
import type { RegistryClient } from './types.ts'

export type RegistryClientDeps = TransportDeps & {
  readonly credentials: CredentialSource
  /** Default: the operating system's resolver. Its answers pass the address guard. */
  readonly resolve?: Resolve
  /**
   * Resolves when one more answer may be worked on. Answers that come together are worked on in several turns of the event loop,
   * so that pulls which need no upstream come in between. One for all upstreams of a process.
   */
  readonly turn: () => Promise<void>
  /** Takes the place of the connection pool. Names are then resolved by it, so only address literals are guarded. */
  readonly dispatcher?: Connections
}

const USER_AGENT = `portcullis/${VERSION}`

/** Longer than the gaps between pulls of a busy node, shorter than the idle limit of usual load balancers (60 s). */
const KEEP_ALIVE_MS = 30_000

function connect(config: UpstreamConfig, allows: AddressGuard, resolve: Resolve): Connections {
  const ca = config.ca === undefined ? {} : { ca: [...defaultAuthorities(), config.ca] }
  return createConnections({
    connect: { lookup: guardedLookup(allows, resolve), timeout: config.connectTimeoutMs, ...ca },
    headersTimeout: config.headersTimeoutMs,
    bodyTimeout: config.bodyTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // HTTP/1.1: an aborted blob costs its own connection and never the session of another pull.
    allowH2: false,
  })
}

/** Where no upstream names an authority of its own, nothing waits for node:tls to be loaded. */
function defaultAuthorities(): readonly string[] {
  return process.getBuiltinModule('node:tls').getCACertificates('default')
}

/** The client of one upstream. Dials nothing until it is asked; throws TypeError where the URL is none. */
export function createRegistryClient(config: UpstreamConfig, deps: RegistryClientDeps): RegistryClient {
  const upstream = new URL(config.url)
  const allows = createAddressGuard(config.allowPrivateAddresses)
  const resolve: Resolve = deps.resolve ?? ((hostname) => lookup(hostname, { all: true }))
  const dispatcher = deps.dispatcher ?? connect(config, allows, resolve)
  const transport = new Transport(dispatcher, config, deps)
  const authenticator = new Authenticator(
    { upstream, realmHosts: config.realmHosts, allows, userAgent: USER_AGENT },
    { transport, credentials: deps.credentials, now: deps.now },
  )
  const rules = { upstream, plainHosts: config.redirectHosts ?? [], allows }
  const send = createExchange({ rules, userAgent: USER_AGENT }, transport, authenticator)
  const exchange: Exchange = async (request, signal) => {
    assertDiallable(upstream, allows)
    const answer = await send(request, signal)
    try {
      await abortable(deps.turn(), signal)
    } catch (error) {
      // Nobody else would: it holds a connection.
      answer.body?.destroy()
      throw error
    }
    return answer
  }
  return {
    ...createManifestMethods(exchange),
    ...createBlobMethods(exchange, upstream),
    ...createListingMethods(exchange),
    async close() {
      // Requests still on their way belong to clients that the drain has given up on.
      if (deps.dispatcher === undefined) await dispatcher.destroy()
    },
  }
}
