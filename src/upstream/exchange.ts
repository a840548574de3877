import type { Repository } from '../oci/reference.ts'
import type { Authenticator } from './authenticator.ts'
import { isRedirect, REDIRECTS_MAX, redirectTarget, type RedirectRules } from './redirect.ts'
import { describeRequest, headerValue, type Answer, type RequestKind, type Transport } from './transport.ts'
import { UpstreamError } from './types.ts'

export type RegistryRequest = {
  readonly repository: Repository
  readonly method: 'GET' | 'HEAD'
  readonly kind: RequestKind
  /** Under the repository, as the distribution specification names it: `manifests/latest`. May hold a query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly bytesMax: number | 'stream'
  /** `manual` answers with the redirect itself, its target already checked. Default `follow`. */
  readonly redirect?: 'follow' | 'manual'
}

export type RegistryAnswer = Answer & {
  /** Where the answer came from, after redirects. */
  readonly url: URL
  /** The checked target of a redirect that was not followed. */
  readonly location: URL | undefined
  /** The error that this answer stands for, for the statuses that a method does not expect. */
  readonly error: () => UpstreamError
}

/** One authenticated request to the upstream, redirects followed. Rejects with UpstreamError only. */
export type Exchange = (request: RegistryRequest, signal: AbortSignal) => Promise<RegistryAnswer>

export type ExchangeConfig = {
  readonly rules: RedirectRules
  readonly userAgent: string
}

type Hop = { readonly url: URL; readonly authorization: string | undefined }

function secretsOf(authorization: string | undefined): readonly string[] {
  if (authorization === undefined) return []
  const value = authorization.slice(authorization.indexOf(' ') + 1)
  const decoded = authorization.startsWith('Basic ') ? Buffer.from(value, 'base64').toString('utf8') : ''
  return [value, decoded, decoded.slice(decoded.indexOf(':') + 1)]
}

export function createExchange(
  config: ExchangeConfig,
  transport: Transport,
  authenticator: Authenticator,
): Exchange {
  const { upstream } = config.rules
  const prefix = upstream.pathname.replace(/^\/|\/$/g, '')

  const follow = async (
    request: RegistryRequest,
    first: Hop,
    signal: AbortSignal,
  ): Promise<RegistryAnswer> => {
    let hop = first
    for (let redirects = 0; ; redirects += 1) {
      const { url, authorization } = hop
      // Only headers made here go out; nothing that a client sent reaches an upstream.
      const headers = {
        'user-agent': config.userAgent,
        'accept-encoding': 'identity',
        ...request.headers,
        ...(authorization === undefined ? {} : { authorization }),
      }
      const { method, kind, bytesMax } = request
      const answer = await transport.send({ url, method, kind, headers, bytesMax }, signal)
      const location = isRedirect(answer.status)
        ? redirectTarget(url, headerValue(answer.headers, 'location'), config.rules)
        : undefined
      if (location === undefined || request.redirect === 'manual') {
        const what = describeRequest({ method, url })
        return {
          ...answer,
          url,
          location,
          error: () => transport.error(what, answer, secretsOf(authorization)),
        }
      }
      if (redirects >= REDIRECTS_MAX)
        throw new UpstreamError('invalid', `${upstream.host} redirects without end`)
      // Once dropped, the header stays dropped, even if a stranger redirects back.
      hop = { url: location, authorization: location.origin === upstream.origin ? authorization : undefined }
    }
  }

  return async (request, signal) => {
    const name = prefix === '' ? request.repository.name : `${prefix}/${request.repository.name}`
    const scope = `repository:${name}:pull`
    const url = new URL(`/v2/${name}/${request.path}`, upstream)
    // A token would only be bought for a request that is not sent.
    transport.assertInReach({ ...request, url })
    const authorization = await authenticator.authorization(scope, signal)
    const answer = await follow(request, { url, authorization }, signal)
    // Only the upstream itself may ask for credentials; a 401 from where it redirected to is just a failure.
    if (answer.status !== 401 || answer.url.origin !== upstream.origin) return answer
    const challenge = answer.headers['www-authenticate']
    const next = await authenticator.answer(challenge, { scope, rejected: authorization }, signal)
    return next === undefined ? answer : await follow(request, { url, authorization: next }, signal)
  }
}
