import { abortable } from './abort.ts'
import { isDiallable, type AddressGuard } from './address-guard.ts'
import { parseChallenges, type Challenge } from './challenge.ts'
import type { CredentialSource } from './credentials.ts'
import { allowedRealm } from './realm.ts'
import { basicAuthorization, fetchToken, type Token } from './token.ts'
import type { Transport } from './transport.ts'
import { UpstreamError } from './types.ts'
import { createLru } from '../lru.ts'

/** One repository has one scope, and tokens live an hour at most. */
const TOKENS_MAX = 10_000

/** Name and password are read again this often, so that a rotated one is picked up. */
const BASIC_LIFETIME_MS = 5 * 60_000

/** A token is fetched for all who wait for it, so no single caller's deadline applies. */
const TOKEN_TIMEOUT_MS = 15_000

export type AuthenticatorConfig = {
  readonly upstream: URL
  readonly realmHosts: readonly string[]
  readonly allows: AddressGuard
  readonly userAgent: string
}

export type AuthenticatorDeps = {
  readonly transport: Transport
  readonly credentials: CredentialSource
  readonly now: () => number
}

type Held = { readonly authorization: string; readonly expiresAtMs: number }

/** The `Authorization` values of one upstream, one for each scope. */
export class Authenticator {
  readonly #config: AuthenticatorConfig
  readonly #deps: AuthenticatorDeps
  readonly #held = createLru<string, Held>(TOKENS_MAX)
  readonly #flights = new Map<string, Promise<string | undefined>>()
  /** How this upstream asked last: saves the refused request for every further repository and renewal. */
  #challenge: Challenge | undefined

  constructor(config: AuthenticatorConfig, deps: AuthenticatorDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** What to send with a first request; undefined while upstream has never asked for anything. */
  async authorization(scope: string, signal: AbortSignal): Promise<string | undefined> {
    const held = this.#fresh(scope)
    if (held !== undefined) return held
    return this.#challenge === undefined ? undefined : await this.#obtain(this.#challenge, scope, signal)
  }

  /** What to send after a 401 to `rejected`; undefined where there is nothing else to try. */
  async answer(
    header: string | readonly string[] | undefined,
    refused: { readonly scope: string; readonly rejected: string | undefined },
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const challenges = parseChallenges(header)
    // Bearer first: a token is worth less to a thief than the password it was bought with.
    const challenge =
      challenges.find((one) => one.scheme === 'bearer') ?? challenges.find((one) => one.scheme === 'basic')
    if (challenge === undefined) return undefined
    if (this.#held.get(refused.scope)?.authorization === refused.rejected) this.#held.delete(refused.scope)
    const next = this.#fresh(refused.scope) ?? (await this.#obtain(challenge, refused.scope, signal))
    // Kept only once it led to something: one hostile or broken 401 must not decide for every later request.
    if (next !== undefined) this.#challenge = challenge
    return next === refused.rejected ? undefined : next
  }

  #fresh(scope: string): string | undefined {
    const held = this.#held.get(scope)
    return held !== undefined && held.expiresAtMs > this.#deps.now() ? held.authorization : undefined
  }

  #obtain(challenge: Challenge, scope: string, signal: AbortSignal): Promise<string | undefined> {
    const running = this.#flights.get(scope)
    if (running !== undefined) return abortable(running, signal)
    const flight = this.#fetch(challenge, scope).finally(() => this.#flights.delete(scope))
    this.#flights.set(scope, flight)
    return abortable(flight, signal)
  }

  async #fetch(challenge: Challenge, scope: string): Promise<string | undefined> {
    const token = challenge.scheme === 'bearer' ? await this.#bearer(challenge, scope) : await this.#basic()
    if (token === undefined) return undefined
    this.#held.set(scope, {
      authorization: token.authorization,
      expiresAtMs: this.#deps.now() + token.lifetimeMs,
    })
    return token.authorization
  }

  async #basic(): Promise<Token | undefined> {
    const credential = await this.#deps.credentials.get(this.#config.upstream.host)
    if (credential?.kind !== 'basic') return undefined
    const authorization = basicAuthorization(credential.username, credential.password)
    return { authorization, lifetimeMs: BASIC_LIFETIME_MS }
  }

  async #bearer(challenge: Challenge, scope: string): Promise<Token> {
    const { upstream, realmHosts, allows, userAgent } = this.#config
    const realm = allowedRealm(challenge.params.get('realm'), upstream, realmHosts)
    if (realm === undefined || !isDiallable(realm, allows)) {
      const message = `${upstream.host} names a token endpoint that is not allowed for it`
      throw new UpstreamError('unauthorized', message, { status: 401 })
    }
    const credential = await this.#deps.credentials.get(upstream.host)
    const service = challenge.params.get('service')
    const signal = AbortSignal.timeout(TOKEN_TIMEOUT_MS)
    return await fetchToken(this.#deps.transport, { realm, service, scope, credential }, userAgent, signal)
  }
}
