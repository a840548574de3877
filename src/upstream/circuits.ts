import { LRUCache } from 'lru-cache'
import {
  Breaker,
  BREAKER_LIMITS,
  outageText,
  type BreakerDeps,
  type BreakerLimits,
  type CallResult,
  type Outage,
  type Passage,
} from '../breaker.ts'
import type { FailedAttempt } from './retry.ts'
import type { RequestKind } from './transport.ts'
import { UpstreamError } from './types.ts'

/** What fails together: a host's storage may be gone while its manifests, in a database, are there; tokens are apart. */
type CircuitGroup = 'metadata' | 'token' | 'blob'

export type CircuitEvent = {
  readonly group: CircuitGroup
  /** The upstream itself, its token server, or where its blobs are redirected to: no label, the set is open. */
  readonly host: string
  readonly state: 'open' | 'closed'
  readonly outage: Outage
}

export type CircuitsDeps = {
  readonly now: () => number
  readonly random: () => number
  /** Told of whole hosts, not of single things on them. */
  readonly onCircuit?: (event: CircuitEvent) => void
  /** Default: as in breaker.ts. */
  readonly breaker?: BreakerLimits
}

/** Asks a host something that no client can name. Never rejects. */
export type Ping = (asked: Asked) => Promise<CallResult>

export type Asked = { readonly url: URL; readonly method: string; readonly kind: RequestKind }

type Admission =
  | { readonly ok: true; end(result: CallResult): void }
  | { readonly ok: false; readonly failure: FailedAttempt }

type Host = {
  readonly breaker: Breaker
  /** A ping that decides whether the host is out. */
  check: Promise<void> | undefined
  /** When a ping was answered last. */
  answeredMs: number
}

/** Redirects name hosts as upstream likes; a circuit that is forgotten is learnt again. */
const HOSTS_MAX = 256
const PATHS_MAX = 4_096

/** A pause that upstream asks for is kept to this; it can ask again. */
const PAUSE_MS_MAX = 60_000

/** An answer to a ping counts so long, so that failures that a client names cost hardly a ping each. */
const PING_MS = 1_000

/** What a ping is about; nothing that a client asks for is called so. */
const PING = 'a ping'

/** What clients are told to wait while one call finds out. */
const PROBE_SECONDS = 1

const GROUPS: Readonly<Record<RequestKind, CircuitGroup>> = {
  manifest: 'metadata',
  referrers: 'metadata',
  tags: 'metadata',
  token: 'token',
  blob: 'blob',
}

/**
 * One upstream's breakers. A host is out when several different things on it fail in a row and a ping fails, too: clients
 * name as many things that fail as they like, and a ping is none of them. A single thing that keeps failing is left alone
 * by itself. Rate limits pause only the kind of request that they hit.
 */
export class Circuits {
  readonly #deps: CircuitsDeps
  readonly #ping: Ping
  readonly #limits: BreakerLimits
  readonly #hosts = new LRUCache<string, Host>({ max: HOSTS_MAX })
  /** Only of what failed last time. */
  readonly #paths = new LRUCache<string, Breaker>({ max: PATHS_MAX })
  readonly #pauses = new LRUCache<string, { fromMs: number; untilMs: number }>({ max: HOSTS_MAX })

  constructor(deps: CircuitsDeps, ping: Ping) {
    this.#deps = deps
    this.#ping = ping
    this.#limits = deps.breaker ?? BREAKER_LIMITS
  }

  /** Why the request would not be sent now. Costs no more than a few look-ups. */
  refusal(asked: Asked): FailedAttempt | undefined {
    const host = this.#hosts.get(hostKey(asked))
    const outage = host?.breaker.outage() ?? this.#paths.get(pathKey(asked))?.outage()
    return outage === undefined ? this.#paused(asked) : this.#refused(outage)
  }

  /**
   * Begins a request that is sent right after. Waits for a ping that is under way; after a pause it pings itself, and only
   * where that fails is the request the one that finds out: not every host answers a ping.
   */
  async enter(asked: Asked): Promise<Admission> {
    const host = this.#hosts.get(hostKey(asked)) ?? this.#addHost(asked)
    await host.check
    const failure = this.refusal(asked)
    if (failure !== undefined) return { ok: false, failure }
    const passage = host.breaker.enter()
    if (host.breaker.isOpen && (await this.#ping(asked)) === 'answered' && passage.ok) passage.end('answered')
    const path = this.#paths.get(pathKey(asked))?.enter()
    return {
      ok: true,
      end: (result) => {
        if (passage.ok) this.#end(asked, result, { host, passage })
        if (result === 'answered') this.#paths.delete(pathKey(asked))
        else if (path?.ok === true) path.end(result)
        else if (typeof result === 'object') this.#addPath(asked, result)
      },
    }
  }

  #end(
    asked: Asked,
    result: CallResult,
    { host, passage }: { host: Host; passage: Pick<Passage & { ok: true }, 'end'> },
  ): void {
    const { breaker } = host
    if (typeof result !== 'object') return passage.end(result)
    if (breaker.isOpen) return passage.end({ ...result, about: aboutOf(asked) })
    const sinceAnswerMs = this.#deps.now() - host.answeredMs
    const isKnownWell = sinceAnswerMs >= 0 && sinceAnswerMs < PING_MS
    // What would be one failure too many has to be the ping.
    if (isKnownWell || host.check !== undefined) return
    passage.end({ ...result, about: aboutOf(asked) })
    if (breaker.failures >= this.#limits.failuresInARow) this.#check(asked, host)
  }

  #check(asked: Asked, host: Host): void {
    const passage = host.breaker.enter()
    host.check = this.#ping(asked).then((result) => {
      host.check = undefined
      if (result === 'answered') host.answeredMs = this.#deps.now()
      if (passage.ok) passage.end(typeof result === 'object' ? { ...result, about: PING } : result)
    })
  }

  /** Answer 429: `Retry-After` counts for every request of this kind. Without one, each goes on by itself. */
  pause(asked: Asked, retryAfterSeconds: number | undefined): void {
    if (retryAfterSeconds === undefined || retryAfterSeconds <= 0) return
    const fromMs = this.#deps.now()
    const untilMs = fromMs + Math.min(retryAfterSeconds * 1_000, PAUSE_MS_MAX)
    this.#pauses.set(pauseKey(asked), { fromMs, untilMs })
  }

  /** Forgets every outage. Pauses stay: upstream has asked for them. */
  reset(): void {
    for (const { breaker } of this.#hosts.values()) breaker.reset()
    this.#paths.clear()
  }

  #paused(asked: Asked): FailedAttempt | undefined {
    const pause = this.#pauses.get(pauseKey(asked))
    const now = this.#deps.now()
    if (pause === undefined || now >= pause.untilMs || now < pause.fromMs) return undefined
    const message = `${asked.url.host} limits the rate of ${asked.kind} requests`
    const retryAfterSeconds = Math.ceil((pause.untilMs - now) / 1_000)
    const error = new UpstreamError('rate-limited', message, { status: 429, retryAfterSeconds })
    return { error, retryable: true, says: 'abandoned' }
  }

  #refused(outage: Outage): FailedAttempt {
    const waitMs = (outage.nextAttemptMs ?? 0) - this.#deps.now()
    const retryAfterSeconds = Math.max(PROBE_SECONDS, Math.ceil(waitMs / 1_000))
    const error = new UpstreamError('unavailable', outageText(outage), { retryAfterSeconds })
    return { error, retryable: false, says: 'abandoned' }
  }

  #addHost(asked: Asked): Host {
    const { host } = asked.url
    const { onCircuit, now, random } = this.#deps
    const group = GROUPS[asked.kind]
    const onChange: BreakerDeps['onChange'] = (change) => {
      // What answers again deserves that everything on it is asked for again.
      if (change.state === 'closed') this.#paths.clear()
      onCircuit?.({ group, host, ...change })
    }
    // One more, which is the ping.
    const limits = { ...this.#limits, failuresInARow: this.#limits.failuresInARow + 1 }
    const breaker = new Breaker(host, { now, random, onChange }, limits)
    const entry: Host = { breaker, check: undefined, answeredMs: -Infinity }
    this.#hosts.set(hostKey(asked), entry)
    return entry
  }

  #addPath(asked: Asked, result: CallResult): void {
    const { now, random } = this.#deps
    const breaker = new Breaker(`${asked.url.host}${asked.url.pathname}`, { now, random }, this.#limits)
    const passage = breaker.enter()
    if (passage.ok) passage.end(result)
    this.#paths.set(pathKey(asked), breaker)
  }
}

function hostKey({ url, kind }: Asked): string {
  return `${GROUPS[kind]} ${url.origin}`
}

/** A signed URL of a blob is another one each time; of a token, only the query tells what it is for. */
function aboutOf({ url, kind }: Asked): string {
  return kind === 'token' ? url.pathname + url.search : url.pathname
}

function pathKey(asked: Asked): string {
  return `${asked.kind} ${asked.url.origin}${aboutOf(asked)}`
}

/** Docker Hub counts GET of a manifest and leaves HEAD free, so the method matters. */
function pauseKey({ url, kind, method }: Asked): string {
  return `${method} ${kind} ${url.origin}`
}
