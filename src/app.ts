import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono, type Context } from 'hono'
import { errorAnswer, type Answer } from './http/answer.ts'
import { parseTarget, type Target } from './http/target.ts'
import type { Repository } from './oci/reference.ts'
import type { Metrics } from './record/metrics.ts'
import type { Logger } from './record/log.ts'
import { answerBlob, type BlobRouteDeps } from './routes/blob.ts'
import type { ManifestRoute } from './routes/manifest.ts'
import type { ReferrersRoute } from './routes/referrers.ts'
import { fallsBack, headerOf, type RoutedRequest } from './routes/request.ts'
import { answerTags } from './routes/tags.ts'
import type { Router } from './upstream/route.ts'
import type { RegistryClient, Upstreams } from './upstream/types.ts'

export type AppDeps = {
  router: Router
  manifest: ManifestRoute
  blob: BlobRouteDeps
  referrers: ReferrersRoute
  upstreams: Upstreams
  metrics: Pick<Metrics, 'httpRequests'>
  log: Logger
  requests: Logger
  deadline: () => AbortSignal
  elapsed: () => number
}

type DataContext = Context<{ Bindings: HttpBindings }>

/** The data listener: what containers are pulled through. Read-only, closed-world, one strict parser for every request. */
export function createApp(deps: AppDeps): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.get('*', (context): Response | Promise<Response> => {
    const start = deps.elapsed()
    const asked = readRequest(context, deps)
    if ('answer' in asked) return finish(context, { ...asked, start }, deps)
    // Without a promise: what is warm is most of what is asked.
    const warm = answerWarm(asked, deps)
    if (warm !== undefined) return finish(context, { ...warm, start }, deps)
    return answerCold(asked, deps).then((cold): Response => finish(context, { ...cold, start }, deps))
  })
  app.all('*', (context) =>
    finish(context, { route: 'none', start: deps.elapsed(), answer: readOnly() }, deps),
  )
  app.onError((error, context) => {
    // Nothing of an unknown error leaves; whoever runs this finds all of it in the log.
    deps.log.error({ event: 'error', err: error, target: context.env.incoming.url }, 'unexpected error')
    const answer = errorAnswer({
      status: 500,
      code: 'UNKNOWN',
      message: 'internal error; see the log of the proxy',
    })
    return finish(context, { route: 'error', start: deps.elapsed(), answer }, deps)
  })
  return app
}

type Answered = { readonly route: Target['kind'] | 'none'; readonly answer: Answer | 'sent' }
type Asked = {
  readonly target: Exclude<Target, { kind: 'ping' }>
  readonly request: RoutedRequest
  readonly client: RegistryClient
  readonly outgoing: ServerResponse
}

/** Steps 1 and 2: what is asked for, of whom; or the answer, where that is no question. */
function readRequest(context: DataContext, deps: AppDeps): Answered | Asked {
  const { incoming, outgoing } = context.env
  // 1. parse: the raw request target, before any framework has decoded it.
  const parsed = parseTarget(incoming.url ?? '')
  if (!parsed.ok) {
    // RFC 9110 section 15.5.6: a 405 names what is allowed instead, and here nothing is.
    const refusal = parsed.status === 405 ? { ...parsed, headers: { allow: '' } } : parsed
    return { route: 'none', answer: errorAnswer(refusal) }
  }
  const { target } = parsed
  // 2. route: exactly one upstream, or none.
  const routed = deps.router.route(target, headerOf(incoming, 'host'))
  if (!routed.ok) {
    return { route: target.kind, answer: unrouted(context, { target, answer: errorAnswer(routed) }, deps) }
  }
  if (target.kind === 'ping' || routed.repository === undefined) return { route: 'ping', answer: ping() }
  const client = deps.upstreams.client(routed.registry)
  if (client === undefined) throw new TypeError(`routed to ${routed.registry}, which has no client`)
  return { target, request: routedRequest(context, target, routed.repository), client, outgoing }
}

function answerWarm({ target, request }: Asked, { manifest }: AppDeps): Answered | undefined {
  const answer = target.kind === 'manifest' ? manifest.answerWarm(request, target.reference) : undefined
  return answer === undefined ? undefined : { route: 'manifest', answer }
}

async function answerCold({ target, request, client, outgoing }: Asked, deps: AppDeps): Promise<Answered> {
  switch (target.kind) {
    case 'manifest':
      return { route: 'manifest', answer: await deps.manifest.answer(request, target.reference) }
    case 'blob':
      return {
        route: 'blob',
        answer: await answerBlob(request, target.digest, { client, outgoing }, deps.blob),
      }
    case 'tags':
      return { route: 'tags', answer: await answerTags(request, target, client, deps.deadline()) }
    case 'referrers':
      return { route: 'referrers', answer: await deps.referrers(request, target, client) }
  }
}

/** A registry that is not configured: a rule for all images may still forbid to look for it elsewhere. */
function unrouted(
  { env: { incoming } }: DataContext,
  { target, answer }: { target: Target; answer: Answer },
  { manifest }: AppDeps,
): Answer {
  if (target.kind !== 'manifest') return answer
  const { ns, prefix, name, reference } = target
  const asker = {
    method: incoming.method ?? '',
    fallsBack: fallsBack(ns, headerOf(incoming, 'user-agent')),
    repositoryName: [ns ?? prefix, name].filter((part) => part !== undefined).join('/'),
  }
  return manifest.final(answer, asker, reference)
}

function routedRequest(
  { env: { incoming } }: DataContext,
  target: Target,
  repository: Repository,
): RoutedRequest {
  return {
    method: incoming.method === 'HEAD' ? 'HEAD' : 'GET',
    repository,
    ns: target.ns,
    path: (incoming.url ?? '').split('?', 1)[0] ?? '',
    fallsBack: fallsBack(target.ns, headerOf(incoming, 'user-agent')),
    range: headerOf(incoming, 'range'),
    ifRange: headerOf(incoming, 'if-range'),
  }
}

/** 10. answer: written here and nowhere else, with the one log line and the one count of the request. */
function finish(
  { env: { incoming, outgoing } }: DataContext,
  { route, start, answer }: { route: string; start: number; answer: Answer | 'sent' },
  { metrics, requests, elapsed }: AppDeps,
): Response {
  const method = incoming.method ?? ''
  if (answer !== 'sent') send(answer, outgoing, method)
  const status = outgoing.statusCode
  metrics.httpRequests.inc(route, method === 'GET' || method === 'HEAD' ? method : 'other', status)
  const client = incoming.socket.remoteAddress
  const ms = Math.round((elapsed() - start) * 1000) / 1000
  const facts = answer === 'sent' ? undefined : answer.facts
  requests.info({ event: 'request', method, target: incoming.url, route, status, client, ms, ...facts })
  return RESPONSE_ALREADY_SENT
}

/** Written to node's response, the one way by which a reason phrase of our own reaches the wire. */
function send(
  { status, reasonPhrase, headers, body }: Answer,
  outgoing: ServerResponse,
  method: string,
): void {
  // An error after the head of a blob: nothing can be said any more but that this is not all of it.
  if (outgoing.headersSent) {
    outgoing.destroy()
    return
  }
  outgoing.writeHead(status, reasonPhrase ?? STATUS_CODES[status] ?? 'Unknown', headers)
  outgoing.end(method === 'HEAD' ? undefined : body)
}

function ping(): Answer {
  const body = Buffer.from('{}')
  const headers = {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'docker-distribution-api-version': 'registry/2.0',
  }
  return { status: 200, headers, body }
}

function readOnly(): Answer {
  const headers = { allow: 'GET, HEAD' }
  return errorAnswer({
    status: 405,
    code: 'UNSUPPORTED',
    message: 'this is a read-only mirror: push to the registry itself',
    headers,
  })
}
