import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { errorReply, jsonReply, type Reply, type RegistryRequest } from './registry-reply.ts'

export type RegistryAuth =
  | { readonly scheme: 'basic'; readonly username: string; readonly password: string }
  | {
      readonly scheme: 'bearer'
      /** Without credentials anybody gets a token. */
      readonly username?: string
      readonly password?: string
      readonly service?: string
      /** Seconds that the token answer promises and the registry keeps; default 300. */
      readonly expiresInSeconds?: number
      /** Default this registry's own `/token`. */
      readonly realm?: string
    }

export type RegistryGuard = {
  /** The challenge, or undefined where the request may go on. */
  challenge(request: RegistryRequest): Reply | undefined
  token(request: RegistryRequest): Reply
}

export function createRegistryGuard(auth: RegistryAuth | undefined, now: () => number): RegistryGuard {
  const tokens = new Map<string, { scopes: Set<string>; expires: number }>()
  return {
    challenge: (request) => {
      if (auth === undefined) return undefined
      if (auth.scheme === 'basic') {
        return hasCredentials(request.headers, auth) ? undefined : unauthorized('Basic realm="test registry"')
      }
      const scope = scopeOf(request)
      const token = tokens.get(request.headers.authorization?.replace(/^Bearer /i, '') ?? '')
      const covers = token !== undefined && (scope === undefined || token.scopes.has(scope))
      if (covers && token.expires > now()) return undefined
      return unauthorized(bearerChallenge(auth, request, scope))
    },
    token: (request) => {
      if (auth?.scheme !== 'bearer') return errorReply(404, 'NOT_FOUND', 'no token endpoint')
      const form = request.method === 'POST' ? new URLSearchParams(request.body.toString()) : undefined
      if (!mayHaveToken(request, auth, form)) return unauthorized('Basic realm="token"')
      const asked = (form ?? request.query).getAll('scope').flatMap((scopes) => scopes.split(' '))
      const token = randomBytes(12).toString('hex')
      const seconds = auth.expiresInSeconds ?? 300
      tokens.set(token, { scopes: new Set(asked.flatMap(actionsOf)), expires: now() + seconds * 1000 })
      return jsonReply(200, { token, access_token: token, expires_in: seconds })
    },
  }
}

function mayHaveToken(
  request: RegistryRequest,
  auth: { readonly username?: string; readonly password?: string },
  form: URLSearchParams | undefined,
): boolean {
  const { username, password } = auth
  if (username === undefined || password === undefined) return true
  if (form !== undefined) return form.get('username') === username && form.get('password') === password
  return hasCredentials(request.headers, { username, password })
}

function hasCredentials(
  headers: IncomingHttpHeaders,
  { username, password }: { username: string; password: string },
): boolean {
  return headers.authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** `repository:a/b:pull,push` as one string for each action. */
function actionsOf(scope: string): string[] {
  const end = scope.lastIndexOf(':')
  return scope
    .slice(end + 1)
    .split(',')
    .map((action) => `${scope.slice(0, end)}:${action}`)
}

function scopeOf({ method, path }: RegistryRequest): string | undefined {
  const name = /^\/v2\/(.+)\/(?:manifests|blobs|referrers|tags)\//.exec(path)?.[1]
  const action = method === 'GET' || method === 'HEAD' ? 'pull' : 'push'
  return name === undefined ? undefined : `repository:${name}:${action}`
}

function bearerChallenge(
  auth: { readonly realm?: string; readonly service?: string },
  request: RegistryRequest,
  scope: string | undefined,
): string {
  const realm = auth.realm ?? `http://${request.headers.host ?? ''}/token`
  const wanted = scope?.endsWith(':push') === true ? scope.replace(/push$/, 'pull,push') : scope
  return [
    `Bearer realm="${realm}"`,
    `service="${auth.service ?? 'test registry'}"`,
    ...(wanted === undefined ? [] : [`scope="${wanted}"`]),
  ].join(',')
}

function unauthorized(challenge: string): Reply {
  const reply = errorReply(401, 'UNAUTHORIZED', 'authentication required')
  return { ...reply, headers: { ...reply.headers, 'www-authenticate': challenge } }
}
