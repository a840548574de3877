/** One registry that may be dialled. Written by the operator; already checked by the configuration schema. */
export type UpstreamConfig = {
  /** The canonical namespace that clients ask for: `docker.io`. */
  readonly registry: string
  /**
   * Where it is: `https://registry-1.docker.io`. A path is put before every repository name (a Harbor project).
   * `http:` is the operator's word that this one upstream speaks plain text; nothing else turns TLS off.
   */
  readonly url: string
  /** Requests on their way at the same time, for metadata and for blobs each. */
  readonly concurrency: number
  readonly connectTimeoutMs: number
  /** From the request being sent to the last header. */
  readonly headersTimeoutMs: number
  /** Between two pieces of a body. */
  readonly bodyTimeoutMs: number
  /** Attempts after the first, for GET and HEAD, while the retry budget lasts. */
  readonly retries: number
  /** PEM certificates trusted for this upstream beside the system's. */
  readonly ca?: string
  /** Lets the upstream, its realm and its redirects be on loopback and private networks. Never link-local. */
  readonly allowPrivateAddresses: boolean
  /** Hosts (`host` or `host:port`, exact) that may issue tokens, beside the upstream's own. */
  readonly realmHosts: readonly string[]
  /** Hosts (exact) to which a plain-text upstream may redirect over plain text. */
  readonly redirectHosts?: readonly string[]
}

/** Connect fails fast, because another attempt is cheap; bodies may be slow, because layers are large. */
export const UPSTREAM_DEFAULTS = {
  concurrency: 64,
  connectTimeoutMs: 3_000,
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  retries: 2,
  allowPrivateAddresses: false,
  realmHosts: [],
} as const
