import type { Stance } from '../policy/types.ts'

/** A ring as it is configured. */
export type RingDefinition = {
  readonly name: string
  /** Any one is enough. Empty for the ring of those who belong to no other. */
  readonly when: readonly Condition[]
  /** The laxest stance that any policy may have in it. */
  readonly stanceLimit?: Stance | undefined
}

/** What a client is recognised by: all that is said must hold, and something is said. */
export type Condition = {
  /** `data`, or the name of an additional listener. */
  readonly listener?: string | undefined
  /** Host names, in any case, without port. */
  readonly hosts?: readonly string[] | undefined
  /** Counts only from these networks: anybody can send any header. */
  readonly header?: HeaderCondition | undefined
  /** Networks; the address is that of the connection, whatever a header says of it. */
  readonly cidrs?: readonly string[] | undefined
  /** `DNS:…`, `URI:…`, `email:…`, or `sha256:` and the hex digest of the certificate. */
  readonly clientCertificates?: readonly string[] | undefined
  /** Hex SHA-256 of each. */
  readonly tokens?: readonly string[] | undefined
}

type HeaderCondition = {
  readonly name: string
  readonly value: string
  readonly from: readonly string[]
}
