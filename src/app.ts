import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { LRUCache } from 'lru-cache'
import { errorAnswer, pingAnswer, readOnlyAnswer, sendAnswer, type Answer } from './http/answer.ts'
import { parseTarget, type Target } from './http/target.ts'
import type { Repository } from './oci/reference.ts'
import type { Metrics } from './record/metrics.ts'
import type { Logger } from './record/log.ts'
import type { RequestLog } from './record/request-log.ts'
import { answerBlob, type BlobRouteDeps } from './routes/blob.ts'
import type { ManifestRoute } from './routes/manifest.ts'
import type { ReferrersRoute } from './routes/referrers.ts'
import { answerLogQuery, type LogEntries } from './routes/rekor.ts'
import { fallsBack, headerOf, type RoutedRequest } from './routes/request.ts'
import { answerTags } from './routes/tags.ts'
import { answerTuf, type TufRepositories } from './routes/tuf.ts'
import type { Router } from './upstream/route.ts'
import type { RegistryClient, Upstreams } from './upstream/types.ts'

export type AppDeps = {
  router: Router
  manifest: ManifestRoute
  blob: BlobRouteDeps
  referrers: ReferrersRoute
  upstreams: Upstreams
  tuf: TufRepositories
  logEntries: LogEntries
  metrics: Pick<Metrics, 'httpRequests'>
  log: Logger
  requests: RequestLog
  deadline: () => AbortSignal
  elapsed: () => number
}

/** One request and the answer to it. */
type Exchange = {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** On the clock of `elapsed`. */
  readonly start: number
}
/** What a request asks for, and of whom; or what there is to say where it asks for nothing. */
export type Question =
  | {
      readonly kind: 'asked'
      readonly target: Exclude<Target, { kind: 'ping' }>
      readonly repository: Repository
      readonly client: RegistryClient
      /** As it came, without the query. */
      readonly path: string
    }
  | { readonly kind: 'ping' }
  | { readonly kind: 'malformed'; readonly answer: Answer }
  | { readonly kind: 'unrouted'; readonly target: Target; readonly answer: Answer }

type Asked = Extract<Question, { kind: 'asked' }>
type Answered = { readonly route: string; readonly answer: Answer | 'sent' }

/**
 * The data listener: what containers are pulled through. Read-only, closed-world, one strict parser for every request.
 * What is warm is most of what is asked: it is answered without a promise, and before Hono makes a context for it.
 */
export function createDataListener(deps: AppDeps): RequestListener {
  const questions = new Questions(deps)
  const routes = getRequestListener(createRoutes(questions, deps).fetch, { overrideGlobalObjects: false })
  return (incoming, outgoing) => {
    const exchange = { incoming, outgoing, start: deps.elapsed() }
    // node:http waits for no promise; what fails inside has been answered and logged by the routes.
    if (!answersWarm(exchange, questions, deps)) void routes(incoming, outgoing)
  }
}

function createRoutes(questions: Questions, deps: AppDeps): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const respond =
    (answered: (exchange: Exchange) => Answered | Promise<Answered>) =>
    async ({ env: { incoming, outgoing } }: { env: HttpBindings }): Promise<Response> => {
      const exchange = { incoming, outgoing, start: deps.elapsed() }
      return finish(exchange, await answered(exchange), deps)
    }
  // Trust, served on to those who verify for themselves: files of TUF repositories, and log entries.
  const tuf = async ({ incoming }: Exchange) => await answerTuf(incoming.url ?? '', deps.tuf)
  const rekor = async ({ incoming }: Exchange) => await answerLogQuery(incoming, deps.logEntries)
  app.get(
    '/tuf/*',
    respond(async (exchange) => ({ route: 'tuf', answer: await tuf(exchange) })),
  )
  app.on(
    ['GET', 'POST'],
    '/rekor/*',
    respond(async (exchange) => ({ route: 'rekor', answer: await rekor(exchange) })),
  )
  app.get(
    '*',
    respond((exchange) => answerImage(exchange, questions, deps)),
  )
  app.all(
    '*',
    respond(() => ({ route: 'none', answer: readOnlyAnswer() })),
  )
  app.onError((error, context) => {
    // Nothing of an unknown error leaves; whoever runs this finds all of it in the log.
    deps.log.error({ event: 'error', err: error, target: context.env.incoming.url }, 'unexpected error')
    const message = 'internal error; see the log of the proxy'
    const answer = errorAnswer({ status: 500, code: 'UNKNOWN', message })
    return respond(() => ({ route: 'error', answer }))(context)
  })
  return app
}

/** Questions; about 1 KiB each. */
const KNOWN_MAX = 10_000
/** Characters; the longest name with a digest has 400. Beyond that it is no image but somebody's attempt. */
const TARGET_KEPT_MAX = 512

/**
 * Steps 1 and 2. A question follows from the request target, the Host header and the configuration alone, so it is read
 * once for all who ask the same: reading takes as long as all that is done with it when the answer is warm.
 */
export class Questions {
  readonly #router: Router
  readonly #upstreams: Upstreams
  readonly #known = new LRUCache<string, { host: string | undefined; question: Question }>({ max: KNOWN_MAX })

  constructor({ router, upstreams }: { router: Router; upstreams: Upstreams }) {
    this.#router = router
    this.#upstreams = upstreams
  }

  /** `raw` is the request target before any framework has decoded it. */
  read(raw: string, host: string | undefined): Question {
    const known = this.#known.get(raw)
    if (known !== undefined && known.host === host) return known.question
    const question = this.#read(raw, host)
    if (question.kind === 'asked' && raw.length <= TARGET_KEPT_MAX) this.#known.set(raw, { host, question })
    return question
  }

  #read(raw: string, host: string | undefined): Question {
    // 1. parse: one strict grammar.
    const parsed = parseTarget(raw)
    if (!parsed.ok) {
      // RFC 9110 section 15.5.6: a 405 names what is allowed instead, and here nothing is.
      const refusal = parsed.status === 405 ? { ...parsed, headers: { allow: '' } } : parsed
      return { kind: 'malformed', answer: errorAnswer(refusal) }
    }
    const { target } = parsed
    // 2. route: exactly one upstream, or none.
    const routed = this.#router.route(target, host)
    if (!routed.ok) return { kind: 'unrouted', target, answer: errorAnswer(routed) }
    const { registry, repository } = routed
    if (target.kind === 'ping' || repository === undefined) return { kind: 'ping' }
    const client = this.#upstreams.client(registry)
    if (client === undefined) throw new TypeError(`routed to ${registry}, which has no client`)
    return { kind: 'asked', target, repository, client, path: raw.split('?', 1)[0] ?? '' }
  }
}

/** False where there is something to wait for, or to refuse. */
function answersWarm(exchange: Exchange, questions: Questions, deps: AppDeps): boolean {
  const { incoming } = exchange
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return false
  try {
    const question = questions.read(incoming.url ?? '', headerOf(incoming, 'host'))
    if (question.kind !== 'asked' || question.target.kind !== 'manifest') return false
    const answer = deps.manifest.answerWarm(routedRequest(incoming, question), question.target.reference)
    if (answer === undefined) return false
    finish(exchange, { route: 'manifest', answer }, deps)
    return true
  } catch {
    // The routes come upon the same, and report it.
    return false
  }
}

async function answerImage(exchange: Exchange, questions: Questions, deps: AppDeps): Promise<Answered> {
  const { incoming } = exchange
  const question = questions.read(incoming.url ?? '', headerOf(incoming, 'host'))
  switch (question.kind) {
    case 'ping':
      return { route: 'ping', answer: pingAnswer() }
    case 'malformed':
      return { route: 'none', answer: question.answer }
    case 'unrouted':
      return { route: question.target.kind, answer: unrouted(incoming, question, deps) }
    case 'asked':
      return await answerCold(question, exchange, deps)
  }
}

async function answerCold(asked: Asked, { incoming, outgoing }: Exchange, deps: AppDeps): Promise<Answered> {
  const { target, client } = asked
  const request = routedRequest(incoming, asked)
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
  incoming: IncomingMessage,
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

function routedRequest(incoming: IncomingMessage, { target, repository, path }: Asked): RoutedRequest {
  return {
    method: incoming.method === 'HEAD' ? 'HEAD' : 'GET',
    repository,
    ns: target.ns,
    path,
    fallsBack: fallsBack(target.ns, headerOf(incoming, 'user-agent')),
    range: headerOf(incoming, 'range'),
    ifRange: headerOf(incoming, 'if-range'),
    client: incoming.socket.remoteAddress ?? 'unknown',
  }
}

/** 10. answer: written here and nowhere else, with the one log line and the one count of the request. */
function finish(
  { incoming, outgoing, start }: Exchange,
  { route, answer }: Answered,
  { metrics, requests, elapsed }: AppDeps,
): Response {
  const method = incoming.method ?? ''
  if (answer !== 'sent') sendAnswer(answer, outgoing, method)
  const status = outgoing.statusCode
  metrics.httpRequests.inc(route, method === 'GET' || method === 'HEAD' ? method : 'other', status)
  const client = incoming.socket.remoteAddress
  const ms = Math.round((elapsed() - start) * 1000) / 1000
  const facts = answer === 'sent' ? undefined : answer.facts
  requests.write({ method, target: incoming.url, route, status, client, ms, ...facts })
  return RESPONSE_ALREADY_SENT
}
