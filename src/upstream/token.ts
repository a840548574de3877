import { z } from 'zod'
import type { Credential } from './credentials.ts'
import { headerValue, type Answer, type Transport, type TransportRequest } from './transport.ts'
import { UpstreamError } from './types.ts'

const TOKEN_RESPONSE_BYTES_MAX = 64 * 1024
const TOKEN_LENGTH_MAX = 32 * 1024

/** A server that names no lifetime means 60 s (docker token specification). */
const LIFETIME_DEFAULT_SECONDS = 60
const LIFETIME_MAX_SECONDS = 3_600

/** A token is left alone this long before its end, so that it does not expire on its way. */
const SKEW_MAX_SECONDS = 30

/** Both spellings exist: `token` in docker's own protocol, `access_token` in OAuth 2. */
const TokenResponse = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.coerce.number().positive().optional().catch(undefined),
})

export type TokenRequest = {
  /** Already checked against the rules of `realm.ts`. */
  readonly realm: URL
  readonly service: string | undefined
  readonly scope: string
  readonly credential: Credential | undefined
}

export type Token = { readonly authorization: string; readonly lifetimeMs: number }

export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}

function tokenRequest(asked: TokenRequest, userAgent: string): TransportRequest {
  const url = new URL(asked.realm)
  const common = { kind: 'token', bytesMax: TOKEN_RESPONSE_BYTES_MAX } as const
  const headers = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': userAgent }
  if (asked.credential?.kind === 'identity-token') {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      service: asked.service ?? '',
      client_id: 'portcullis',
      scope: asked.scope,
      refresh_token: asked.credential.token,
    })
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    return { ...common, url, method: 'POST', headers: { ...headers, ...type }, body: form.toString() }
  }
  if (asked.service !== undefined) url.searchParams.set('service', asked.service)
  url.searchParams.set('scope', asked.scope)
  const basic =
    asked.credential === undefined
      ? {}
      : { authorization: basicAuthorization(asked.credential.username, asked.credential.password) }
  return { ...common, url, method: 'GET', headers: { ...headers, ...basic } }
}

/**
 * What a refused token means. Never `not-found` or `invalid`: a token endpoint knows nothing about an image, so its
 * answers must not read as the image's absence. The body is not quoted, because it may hold a token.
 */
function tokenError(realm: URL, answer: Answer, transport: Transport): UpstreamError {
  const what = `token endpoint ${realm.host}`
  const { code, status, retryAfterSeconds, message } = transport.error(what, {
    ...answer,
    bytes: Buffer.alloc(0),
  })
  const mapped =
    code === 'forbidden' || code === 'unauthorized'
      ? 'unauthorized'
      : code === 'rate-limited' || code === 'timeout'
        ? code
        : 'unavailable'
  const after = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
  return new UpstreamError(mapped, message, { ...(status === undefined ? {} : { status }), ...after })
}

function parseToken(realm: URL, bytes: Buffer): Token {
  const broken = new UpstreamError(
    'unavailable',
    `token endpoint ${realm.host} answered with no usable token`,
  )
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw broken
  }
  const parsed = TokenResponse.safeParse(json)
  const token = parsed.success ? (parsed.data.token ?? parsed.data.access_token ?? '') : ''
  // The token becomes a header value, so nothing but RFC 6750's b64token characters may be in it.
  if (!parsed.success || token.length > TOKEN_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(token)) throw broken
  const seconds = Math.min(parsed.data.expires_in ?? LIFETIME_DEFAULT_SECONDS, LIFETIME_MAX_SECONDS)
  const usableSeconds = Math.max(0, seconds - Math.min(SKEW_MAX_SECONDS, seconds / 10))
  return { authorization: `Bearer ${token}`, lifetimeMs: usableSeconds * 1_000 }
}

function isInvalid(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.code === 'invalid'
}

/** Asks for one token. Redirects are not followed: they would carry the credential to a host nobody chose. */
export async function fetchToken(
  transport: Transport,
  asked: TokenRequest,
  userAgent: string,
  signal: AbortSignal,
): Promise<Token> {
  const answer = await transport.send(tokenRequest(asked, userAgent), signal).catch((error: unknown) => {
    throw isInvalid(error) ? new UpstreamError('unavailable', error.message, { cause: error }) : error
  })
  if (answer.status !== 200) throw tokenError(asked.realm, answer, transport)
  const encoding = headerValue(answer.headers, 'content-encoding') ?? 'identity'
  if (encoding !== 'identity') {
    throw new UpstreamError(
      'unavailable',
      `token endpoint ${asked.realm.host} answered in ${encoding.slice(0, 20)}`,
    )
  }
  return parseToken(asked.realm, answer.bytes)
}
