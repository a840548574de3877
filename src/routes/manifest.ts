import { errorAnswer, printable, type Answer } from '../http/answer.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import { createLru } from '../lru.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { repositoryName, type ManifestReference } from '../oci/reference.ts'
import type { Ring } from '../policy/ring.ts'
import type { Mode } from '../policy/types.ts'
import type { Peers } from '../peers.ts'
import type { PullAnswer, Puller } from '../pull.ts'
import type { FetchedManifest } from '../upstream/manifest-source.ts'
import { UpstreamError } from '../upstream/types.ts'
import type { AnswerAgain, RoutedRequest, WarmAnswer } from './request.ts'

export type ManifestRouteDeps = {
  puller: Pick<Puller, 'pull' | 'pullWarm'>
  modeOf(repositoryName: string, ring: Ring): Mode
  /** `auto`: clients that would ask the real registry after a refusal get one that leaves them nothing to ask for. */
  hardStop: 'auto' | 'off'
  deadline: () => AbortSignal
  /** Undefined: no other process answers the same clients. */
  peers: Peers | undefined
  /** Told of every pull that reached a decision. */
  onPull(answer: PullAnswer, ms: number): void
  onError(error: unknown): void
  /** Milliseconds, monotonic. */
  elapsed: () => number
}

/** Who asks, and under which rule; `repositoryName` may be of a registry that is not configured. */
type Asker = {
  readonly method: string
  readonly fallsBack: boolean
  readonly ring: Ring
  readonly repositoryName: string
}

/**
 * Refusal documents by digest. One that is forgotten is still refused: no registry has that digest. What one ring is refused
 * stands in the way of no other: whoever may have the image is given the image's own digest.
 */
const REFUSALS_MAX = 10_000
/** A process that has begun since the last time has not heard of it. */
const TELL_AGAIN_MS = 1_000
const RETRY_AFTER_SECONDS = 5
/** Clients read 4096 bytes of warnings (distribution-spec 1.1, "Warnings"); one of ours takes at most 710. */
const WARNINGS_MAX = 5
/** Seconds; a digest never changes its bytes, but a policy may change what it is worth. */
const DIGEST_MAX_AGE_SECONDS = 60

/** What answers manifest requests: this process, or another for it. */
export type ManifestAnswers = Pick<ManifestRoute, 'answerWarm' | 'final'> & {
  /** `deadline`: default as long as any pull may take. */
  answer(request: RoutedRequest, reference: ManifestReference, deadline?: () => AbortSignal): Promise<Answer>
}

/** Steps 3 to 10 of a manifest request: what was pulled, as an answer that this client will take for an answer. */
export class ManifestRoute {
  readonly #deps: ManifestRouteDeps
  readonly #refusals = createLru<Digest, Refusal>(REFUSALS_MAX)
  /** The whole head of a warm answer, made once. */
  readonly #heads = new WeakMap<FetchedManifest, ReturnType<typeof headsOf>>()

  constructor(deps: ManifestRouteDeps) {
    this.#deps = deps
    deps.peers?.onNews((news) => {
      if (news.kind !== 'refusal-document') return
      this.#refusals.set(news.digest, { answer: news.answer, toldAtMs: Number.NEGATIVE_INFINITY })
    })
  }

  /** The answer, where nothing has to be waited for. */
  answerWarm(request: RoutedRequest, reference: ManifestReference): WarmAnswer | undefined {
    const refusal = reference.kind === 'digest' ? this.#refusals.get(reference.digest) : undefined
    if (refusal !== undefined) return { answer: refusal.answer, again: undefined }
    const start = this.#deps.elapsed()
    try {
      const { repository, client, ring, method } = request
      const isRead = method === 'GET'
      const pulled = this.#deps.puller.pullWarm({ repository, reference, client, ring, isRead })
      if (pulled === undefined) return undefined
      const answer = this.#concluded(request, reference, { pulled, start })
      return { answer, again: this.#again(pulled) }
    } catch (error) {
      return { answer: this.#finalFor(request, reference, this.#unexpected(error)), again: undefined }
    }
  }

  #again(pulled: PullAnswer): AnswerAgain | undefined {
    const again = pulled.kind === 'serve' ? pulled.again : undefined
    if (again === undefined) return undefined
    return {
      holds: again.holds,
      told: (client, ms) => {
        this.#deps.onPull(pulled, ms)
        again.told(client)
      },
    }
  }

  async answer(
    request: RoutedRequest,
    reference: ManifestReference,
    deadline = this.#deps.deadline,
  ): Promise<Answer> {
    const { repository, client, ring, method } = request
    const asked = { repository, reference, client, ring, isRead: method === 'GET' }
    const start = this.#deps.elapsed()
    try {
      const pulled = await this.#deps.puller.pull({ ...asked, deadline })
      return this.#concluded(request, reference, { pulled, start })
    } catch (error) {
      const failure =
        error instanceof UpstreamError ? upstreamFailureAnswer(error, 'manifest') : this.#unexpected(error)
      return this.#finalFor(request, reference, failure)
    }
  }

  /** An answer that is no manifest, as a client must get it that would go on to the real registry. */
  final(answer: Answer, asker: Asker, reference: ManifestReference): Answer {
    if (answer.status < 400 || this.#deps.hardStop === 'off') return answer
    if (!asker.fallsBack || asker.method !== 'HEAD') return answer
    const mode = this.#deps.modeOf(asker.repositoryName, asker.ring)
    return mode === 'enforce' ? this.#hardStop(answer, reference) : answer
  }

  #finalFor(request: RoutedRequest, reference: ManifestReference, answer: Answer): Answer {
    if (answer.status < 400) return answer
    return this.final(answer, { ...request, repositoryName: repositoryName(request.repository) }, reference)
  }

  #concluded(
    request: RoutedRequest,
    reference: ManifestReference,
    { pulled, start }: { pulled: PullAnswer; start: number },
  ): Answer {
    this.#deps.onPull(pulled, this.#deps.elapsed() - start)
    if (pulled.kind === 'serve') return this.#served(request, reference, pulled)
    return this.#finalFor(request, reference, refused(pulled))
  }

  /** Not thrown on: whatever went wrong, a client that falls back must find its way closed all the same. */
  #unexpected(error: unknown): Answer {
    this.#deps.onError(error)
    const message = 'internal error; nothing was let through; see the log of the proxy'
    const reasonPhrase = 'Internal error; see the log'
    return errorAnswer({ status: 503, code: 'UNAVAILABLE', message, reasonPhrase })
  }

  #served(request: RoutedRequest, reference: ManifestReference, pulled: Served): Answer {
    const { manifest, warnings } = pulled
    let head = this.#heads.get(manifest)
    if (head === undefined) this.#heads.set(manifest, (head = headsOf(manifest)))
    const prepared = reference.kind === 'tag' ? head.byTag : head.byDigest
    const answer = { status: 200, headers: prepared, body: manifest.bytes, facts: factsOf(pulled) }
    if (request.ns === undefined && warnings.length === 0) return answer
    return { ...answer, headers: { ...prepared, ...namespace(request.ns), ...warned(pulled) } }
  }

  /**
   * By tag: HEAD names a document that only this proxy has, so a client that falls back asks the real registry for a
   * digest it does not hold. By digest: a redirect without Location, at which containerd stops resolving.
   */
  #hardStop(answer: Answer, reference: ManifestReference): Answer {
    if (reference.kind === 'digest') return { ...answer, status: 300 }
    const digest = digestOf(answer.body)
    this.#keepRefusal(digest, answer)
    return { status: 200, headers: refusalHead(digest, answer.body.length), body: answer.body }
  }

  /** GET may come by another connection, and that one to another process. */
  #keepRefusal(digest: Digest, answer: Answer): void {
    const nowMs = this.#deps.elapsed()
    const toldAtMs = this.#refusals.get(digest)?.toldAtMs ?? Number.NEGATIVE_INFINITY
    const isToTell = nowMs - toldAtMs >= TELL_AGAIN_MS
    this.#refusals.set(digest, { answer, toldAtMs: isToTell ? nowMs : toldAtMs })
    if (isToTell) this.#deps.peers?.tell({ kind: 'refusal-document', digest, answer })
  }
}

type Refusal = { readonly answer: Answer; readonly toldAtMs: number }

/** The refusal as if it were a manifest: what containerd needs to go on to GET it. */
function refusalHead(digest: Digest, sizeBytes: number): Head {
  return {
    'content-type': MEDIA_TYPE.ociManifest,
    'content-length': String(sizeBytes),
    'docker-content-digest': digest,
    'docker-distribution-api-version': 'registry/2.0',
    'cache-control': 'no-store',
  }
}

type Served = PullAnswer & { kind: 'serve' }
type Head = Readonly<Record<string, string>>

function refused(pulled: PullAnswer & { kind: 'refuse' | 'hold' }): Answer {
  const { kind, line: message, reasonPhrase, decision } = pulled
  const id = { 'x-portcullis-decision-id': decision.id }
  const facts = factsOf(pulled)
  if (kind === 'refuse')
    return errorAnswer({ status: 403, code: 'DENIED', message, reasonPhrase, headers: id, facts })
  const headers = { ...id, 'retry-after': String(RETRY_AFTER_SECONDS) }
  return errorAnswer({ status: 503, code: 'UNAVAILABLE', message, reasonPhrase, headers, facts })
}

function factsOf({ kind, outcome, decision, cache }: PullAnswer): Readonly<Record<string, string>> {
  const isAdmitted = outcome.kind === 'serve' && outcome.admitted.length > 0
  return {
    outcome: isAdmitted ? 'admitted' : kind,
    cache,
    digest: decision.subject.digest ?? '',
    decision: decision.id,
  }
}

function namespace(ns: string | undefined): Head {
  return ns === undefined ? {} : { 'oci-namespace': ns }
}

function warned({ warnings, outcome, decision }: Served): Head {
  if (warnings.length === 0) return {}
  // What nobody could judge is asked for again as soon as somebody can.
  const isAdmitted = outcome.kind === 'serve' && outcome.admitted.length > 0
  const caching = isAdmitted ? { 'cache-control': 'no-store' } : {}
  const warning = warnings
    .slice(0, WARNINGS_MAX)
    .map((text) => `299 - "${quoted(text)}"`)
    .join(', ')
  return { warning, ...caching, 'x-portcullis-decision-id': decision.id }
}

function headsOf({ digest, bytes, parsed }: FetchedManifest): { byTag: Head; byDigest: Head } {
  const byTag = {
    // From the body, never from upstream's header: the two must not tell clients different things (CVE-2021-41190).
    'content-type': parsed.ok ? parsed.facts.mediaType : 'application/octet-stream',
    'content-length': String(bytes.length),
    'docker-content-digest': digest,
    'docker-distribution-api-version': 'registry/2.0',
    etag: `"${digest}"`,
  }
  return { byTag, byDigest: { ...byTag, 'cache-control': `private, max-age=${DIGEST_MAX_AGE_SECONDS}` } }
}

/** RFC 9111 section 5.5: the text of a warning is a quoted-string. */
function quoted(text: string): string {
  return printable(text).replace(/["\\]/g, "'")
}
