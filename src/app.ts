import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import {
  challengeAnswer,
  errorAnswer,
  pingAnswer,
  readOnlyAnswer,
  sendAnswer,
  WrittenAnswers,
  type Answer,
} from './http/answer.ts'
import { KnownHeads } from './http/known-heads.ts'
import { answerKnown, type KnownRequest } from './known-request.ts'
import { parseTarget, type Target } from './http/target.ts'
import { IN_LINE_MAX, type Turns } from './http/turns.ts'
import { createLru } from './lru.ts'
import type { Repository } from './oci/reference.ts'
import type { Ring } from './policy/ring.ts'
import type { Metrics } from './record/metrics.ts'
import { millisecondsSince, noteRequest, requestNote, type RequestNotesDeps } from './record/note-request.ts'
import type { Logger } from './record/log.ts'
import type { RequestLog } from './record/request-log.ts'
import { lastingFacts, requestFacts, type Door } from './rings/door.ts'
import type { RequestFacts } from './rings/recognise.ts'
import { answerBlob, answerBlobWarm, type BlobRouteDeps } from './routes/blob.ts'
import type { ManifestAnswers } from './routes/manifest.ts'
import type { ReferrersRoute } from './routes/referrers.ts'
import { answerLogQuery, type LogEntries } from './routes/rekor.ts'
import { fallsBack, headerOf, UNKNOWN_CLIENT, type RoutedRequest } from './routes/request.ts'
import { answerTags } from './routes/tags.ts'
import { answerTuf, type TufRepositories } from './routes/tuf.ts'
import { KEEP_ALIVE_MS, type ListenHandler } from './server.ts'
import type { Router } from './upstream/route.ts'
import type { RegistryClient, Upstreams } from './upstream/types.ts'

export type AppDeps = {
  router: Router
  manifest: ManifestAnswers
  blob: BlobRouteDeps
  referrers: ReferrersRoute
  upstreams: Upstreams
  tuf: TufRepositories
  logEntries: LogEntries
  metrics: Pick<Metrics, 'httpRequests'>
  log: Logger
  requests: RequestLog
  turns: Turns
  deadline: () => AbortSignal
  elapsed: () => number
  now: () => Date
}

/** One request and the answer to it. */
type Exchange = {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** On the clock of `elapsed`. */
  readonly start: number
  readonly facts: RequestFacts
  /** Of who asks. */
  readonly ring: Ring
}

/** The same for all requests of one listener. */
type ListenerDeps = AppDeps & { readonly door: Door }

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
export function createDataListener(app: AppDeps, door: Door): ListenHandler {
  const deps = { ...app, door }
  const questions = new Questions(deps)
  const routes = getRequestListener(createRoutes(questions, deps).fetch, { overrideGlobalObjects: false })
  const written = new WrittenAnswers({ keepAliveSeconds: KEEP_ALIVE_MS / 1000, now: deps.now })
  const knowing = { ...deps, written }
  const heads = new KnownHeads<KnownRequest>((known, socket) => answerKnown(known, socket, knowing))
  return {
    onConnection: (socket) => heads.watch(socket),
    onDrain: () => heads.stop(),
    onRequest(incoming, outgoing) {
      const exchange = exchangeOf(incoming, outgoing, deps)
      heads.noteRequest(incoming, outgoing)
      if (door.isClosedTo(exchange.facts)) {
        finish(exchange, { route: 'none', answer: challengeAnswer() }, deps)
        return
      }
      const warm = answersWarm(exchange, questions, deps)
      // node:http waits for no promise; what fails inside has been answered and logged by the routes.
      if (warm === undefined) void routes(incoming, outgoing)
      else heads.learn(incoming, outgoing, { sizeBytes: warm.answer.body.length, asks: warm.known })
    },
  }
}

function exchangeOf(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { door, elapsed }: ListenerDeps,
): Exchange {
  const facts = requestFacts(incoming)
  return { incoming, outgoing, start: elapsed(), facts, ring: door.ringOf(incoming.socket, facts) }
}

/** What has to be waited for, or refused. */
function createRoutes(questions: Questions, deps: ListenerDeps): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const respond =
    (answered: (exchange: Exchange) => Answered | Promise<Answered>) =>
    async ({ env: { incoming, outgoing } }: { env: HttpBindings }): Promise<Response> => {
      const exchange = exchangeOf(incoming, outgoing, deps)
      // A pull that is under way, or a blob that is open, takes memory: not before its answer can be sent.
      const taken = await deps.turns.take(outgoing, async () => await answered(exchange))
      return finish(exchange, typeof taken === 'string' ? unanswered(taken) : taken, deps)
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
  app.onError((error, { env: { incoming, outgoing } }) => {
    // Nothing of an unknown error leaves; whoever runs this finds all of it in the log.
    deps.log.error({ event: 'error', err: error, target: incoming.url }, 'unexpected error')
    const message = 'internal error; see the log of the proxy'
    const answer = errorAnswer({ status: 500, code: 'UNKNOWN', message })
    return finish(exchangeOf(incoming, outgoing, deps), { route: 'error', answer }, deps)
  })
  return app
}

/** Nobody hears it: it is for the log. 499 is what proxies write down where the client has gone. */
function unanswered(why: 'too-many' | 'gone'): Answered {
  const [status, message] =
    why === 'gone'
      ? [499, 'the client has gone']
      : [429, `more than ${IN_LINE_MAX} answers were asked for at once on one connection`]
  return { route: 'none', answer: errorAnswer({ status, code: 'TOOMANYREQUESTS', message }) }
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
  readonly #known = createLru<string, { host: string | undefined; question: Question }>(KNOWN_MAX)

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

/** A request for a manifest or a small blob, and the answer that it got. */
type Warm = { readonly answer: Answer; readonly known: () => KnownRequest }

/** Undefined where there is something to wait for, or to refuse. */
function answersWarm(exchange: Exchange, questions: Questions, deps: AppDeps): Warm | undefined {
  const { incoming } = exchange
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return undefined
  try {
    const question = questions.read(incoming.url ?? '', headerOf(incoming, 'host'))
    const warmRoute = question.kind === 'asked' ? warmRouteOf(question.target, deps) : undefined
    if (question.kind !== 'asked' || warmRoute === undefined) return undefined
    const request = routedRequest(exchange, question)
    const warm = warmRoute.answerWarm(request)
    if (warm === undefined) return undefined
    const { answer } = warm
    finish(exchange, { route: warmRoute.route, answer }, deps)
    const target = incoming.url ?? ''
    const sizeBytes = answer.body.length
    return {
      answer,
      known: () => ({ target, request, facts: lastingFacts(incoming), sizeBytes, ...warmRoute }),
    }
  } catch {
    // The routes come upon the same, and report it.
    return undefined
  }
}

function warmRouteOf(
  target: Target,
  { manifest, blob }: AppDeps,
): Pick<KnownRequest, 'route' | 'answerWarm'> | undefined {
  switch (target.kind) {
    case 'manifest':
      return { route: 'manifest', answerWarm: (request) => manifest.answerWarm(request, target.reference) }
    case 'blob':
      return { route: 'blob', answerWarm: (request) => answerBlobWarm(request, target.digest, blob) }
    case 'ping':
    case 'tags':
    case 'referrers':
      return undefined
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
      return { route: question.target.kind, answer: unrouted(exchange, question, deps) }
    case 'asked':
      return await answerCold(question, exchange, deps)
  }
}

async function answerCold(asked: Asked, exchange: Exchange, deps: AppDeps): Promise<Answered> {
  const { target, client } = asked
  const { outgoing } = exchange
  const request = routedRequest(exchange, asked)
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
  { incoming, ring }: Exchange,
  { target, answer }: { target: Target; answer: Answer },
  { manifest }: AppDeps,
): Answer {
  if (target.kind !== 'manifest') return answer
  const { ns, prefix, name, reference } = target
  const asker = {
    method: incoming.method ?? '',
    fallsBack: fallsBack(ns, headerOf(incoming, 'user-agent')),
    ring,
    repositoryName: [ns ?? prefix, name].filter((part) => part !== undefined).join('/'),
  }
  return manifest.final(answer, asker, reference)
}

function routedRequest({ incoming, ring }: Exchange, { target, repository, path }: Asked): RoutedRequest {
  return {
    method: incoming.method === 'HEAD' ? 'HEAD' : 'GET',
    repository,
    ns: target.ns,
    path,
    fallsBack: fallsBack(target.ns, headerOf(incoming, 'user-agent')),
    range: headerOf(incoming, 'range'),
    ifRange: headerOf(incoming, 'if-range'),
    client: incoming.socket.remoteAddress ?? UNKNOWN_CLIENT,
    ring,
  }
}

/** 10. answer: written here and nowhere else, but for what was asked before in the same bytes. */
function finish(
  { incoming, outgoing, start, ring }: Exchange,
  { route, answer }: Answered,
  deps: RequestNotesDeps & Pick<AppDeps, 'elapsed'>,
): Response {
  const method = incoming.method ?? ''
  if (answer !== 'sent') sendAnswer(answer, outgoing, method)
  const facts = answer === 'sent' ? undefined : answer.facts
  const note = requestNote(
    { method, target: incoming.url, ring },
    { route, status: outgoing.statusCode, facts },
  )
  const client = incoming.socket.remoteAddress ?? UNKNOWN_CLIENT
  noteRequest(note, { client, ms: millisecondsSince(start, deps.elapsed) }, deps)
  return RESPONSE_ALREADY_SENT
}
