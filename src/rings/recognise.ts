import { DEFAULT_RING, type Ring } from '../policy/ring.ts'
import { hostKey } from '../upstream/route.ts'
import { parseIdentity, type ClientCertificate } from './certificate.ts'
import type { Condition, RingDefinition } from './definition.ts'
import { createAddressMatcher } from './network.ts'
import { createTokenMatcher, tokenOf } from './token.ts'

/** What stays the same for all requests of one connection. */
export type ConnectionFacts = {
  /** Name of the listener that accepted it. */
  readonly listener: string
  /** Of the socket: the client, or whatever stands before this proxy. */
  readonly address: string | undefined
  /** Undefined where there is none, or none that the listener's own CA has issued and that is valid. */
  readonly certificate: ClientCertificate | undefined
}

export type RequestFacts = {
  /** By lower-case name. Undefined where the header is missing, or is there more than once: then nobody knows which counts. */
  header(name: string): string | undefined
}

/** A ring that a connection may belong to, and what each request on it must still show. */
type Candidate = {
  readonly ring: Ring
  readonly demands: readonly ((request: RequestFacts) => boolean)[]
}

export type Rings = {
  /** In the order of precedence, without the default. */
  readonly rings: readonly Ring[]
  readonly fallback: Ring
  /** In the order of precedence; none behind one that demands nothing more. */
  candidates(connection: ConnectionFacts): readonly Candidate[]
}

type Rule = Candidate & { readonly conditions: readonly ((connection: ConnectionFacts) => boolean)[] }

/** Throws TypeError for a condition that does not mean anything. */
export function compileRings(definitions: readonly RingDefinition[]): Rings {
  const rings = definitions.map(({ name, stanceLimit }): Ring => ({ name, stanceLimit }))
  const rules = definitions.flatMap(({ when }, index) => {
    const ring = rings[index]
    return ring === undefined ? [] : when.map((condition) => compileCondition(ring, condition))
  })
  return {
    rings: rings.filter(({ name }) => name !== DEFAULT_RING),
    fallback: rings.find(({ name }) => name === DEFAULT_RING) ?? {
      name: DEFAULT_RING,
      stanceLimit: undefined,
    },
    candidates(connection) {
      const possible = rules.filter(({ conditions }) => conditions.every((holds) => holds(connection)))
      const certain = possible.findIndex(({ demands }) => demands.length === 0)
      return certain === -1 ? possible : possible.slice(0, certain + 1)
    },
  }
}

/** The first ring that recognises the client, else the default. */
export function ringOf(
  { fallback }: Pick<Rings, 'fallback'>,
  candidates: readonly Candidate[],
  request: RequestFacts,
): Ring {
  return candidates.find(({ demands }) => demands.every((holds) => holds(request)))?.ring ?? fallback
}

function compileCondition(ring: Ring, condition: Condition): Rule {
  const conditions: Rule['conditions'][number][] = []
  const demands: Candidate['demands'][number][] = []
  const { listener, hosts, header, cidrs, clientCertificates, tokens } = condition
  if (listener !== undefined) conditions.push((connection) => connection.listener === listener)
  if (cidrs !== undefined) conditions.push(fromNetworks(cidrs))
  if (clientCertificates !== undefined) conditions.push(withCertificate(clientCertificates))
  if (hosts !== undefined) demands.push(toHosts(hosts))
  if (header !== undefined) {
    const name = header.name.toLowerCase()
    conditions.push(fromNetworks(header.from))
    demands.push((request) => request.header(name) === header.value)
  }
  if (tokens !== undefined) {
    const matches = createTokenMatcher(tokens)
    demands.push((request) => matches(tokenOf(request.header('authorization'))))
  }
  if (conditions.length + demands.length === 0) throw new TypeError('a condition must say something')
  return { ring, conditions, demands }
}

function fromNetworks(networks: readonly string[]): Rule['conditions'][number] {
  const matches = createAddressMatcher(networks)
  return ({ address }) => matches(address)
}

function withCertificate(identities: readonly string[]): Rule['conditions'][number] {
  const wanted = identities.flatMap((identity) => parseIdentity(identity) ?? [])
  return ({ certificate }) => wanted.some((identity) => certificate?.identities.has(identity) === true)
}

function toHosts(hosts: readonly string[]): Candidate['demands'][number] {
  const keys = new Set(hosts.map(hostKey))
  return (request) => {
    const host = request.header('host')
    return host !== undefined && keys.has(hostKey(host))
  }
}
