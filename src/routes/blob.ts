import type { ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { BlobAnswer, BlobHeadAnswer, BlobService } from '../blob.ts'
import { errorAnswer, type Answer } from '../http/answer.ts'
import { entityTag, requestedRange } from '../http/range.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import type { Judge } from '../judge.ts'
import type { Digest } from '../oci/digest.ts'
import { isEvidenceBlob } from '../oci/manifest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { enforce } from '../policy/enforce.ts'
import type { Mode } from '../policy/types.ts'
import type { Metrics } from '../record/metrics.ts'
import type { StateStore } from '../store/types.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { RoutedRequest } from './request.ts'

export type BlobRouteDeps = {
  blobs: BlobService
  judge: Pick<Judge, 'judge'>
  state: Pick<StateStore, 'parentsOfBlob' | 'isManifest'>
  modeOf(repositoryName: string): Mode
  metrics: Pick<Metrics, 'blobs'>
  deadline: () => AbortSignal
  upstreams: ReadonlyMap<string, { readonly blobs: 'cache' | 'stream' | 'redirect' }>
}

/** What lets a blob out of a repository. */
type Admission =
  | { readonly kind: 'image' }
  /** Only signatures and attestations name it, so it must be one. */
  | { readonly kind: 'evidence' }
  | { readonly kind: 'denied'; readonly answer: Answer }

/** No evidence is larger: the same limit as that of a layer in an evidence manifest. */
const EVIDENCE_BYTES_MAX = 32 * 1024 * 1024

/** Sends the blob itself where there is one, because it is a stream; every other answer is returned. */
export async function answerBlob(
  request: RoutedRequest,
  digest: Digest,
  to: { client: RegistryClient; outgoing: ServerResponse },
  deps: BlobRouteDeps,
): Promise<Answer | 'sent'> {
  const { repository } = request
  const count = (result: string) => deps.metrics.blobs.inc({ registry: repository.registry, result })
  try {
    const admission = await admit({ repository, client: to.client }, digest, deps)
    if (admission.kind === 'denied') {
      count('denied')
      return admission.answer
    }
    const answer = await open(request, digest, { admission, client: to.client }, deps)
    count(answer.kind)
    return await send(digest, { answer, admission, outgoing: to.outgoing })
  } catch (error) {
    count('failed')
    if (error instanceof UpstreamError) return upstreamFailureAnswer(error, 'blob')
    throw error
  }
}

/** In enforce mode a blob leaves only where a manifest of this repository that is let through now names it. */
async function admit(
  { repository, client }: { repository: Repository; client: RegistryClient },
  digest: Digest,
  deps: BlobRouteDeps,
): Promise<Admission> {
  if (deps.state.isManifest(digest)) return denied(404, 'a manifest is not served as a blob')
  const parents = deps.state.parentsOfBlob(repository, digest)
  if (deps.modeOf(repositoryName(repository)) !== 'enforce') {
    // Bytes are shared by digest; that another repository's pull has cached them does not make them this one's.
    if (parents.length === 0) await client.headBlob(repository, digest, deps.deadline())
    return { kind: 'image' }
  }
  let stopped: 'refuse' | 'hold' | undefined
  let isEvidence = false
  for (const parent of parents) {
    // oxlint-disable-next-line no-await-in-loop -- the first that admits is enough; usually there is one, and cached
    const judged = await deps.judge.judge(repository, parent)
    const { kind } = enforce(judged.judgement)
    if (kind === 'serve' && judged.judgement.results.length > 0) return { kind: 'image' }
    if (kind === 'serve') isEvidence = true
    else stopped = kind
  }
  if (isEvidence) return { kind: 'evidence' }
  if (stopped === 'refuse') return denied(403, 'the image that this blob belongs to is blocked; pull the image to see why')
  if (stopped === 'hold') return denied(503, 'the image that this blob belongs to cannot be verified now; retry later')
  return denied(404, 'no image that was let through from this repository names this blob')
}

function denied(status: 403 | 404 | 503, message: string): Admission {
  const code = status === 403 ? 'DENIED' : status === 404 ? 'BLOB_UNKNOWN' : 'UNAVAILABLE'
  return { kind: 'denied', answer: errorAnswer({ status, code, message }) }
}

async function open(
  request: RoutedRequest,
  digest: Digest,
  { admission, client }: { admission: Admission; client: RegistryClient },
  deps: BlobRouteDeps,
): Promise<BlobAnswer | BlobHeadAnswer> {
  const { repository } = request
  const signal = deps.deadline()
  if (request.method === 'HEAD') return await deps.blobs.headBlob({ client, repository, digest, mode: 'cache', signal })
  const isImage = admission.kind === 'image'
  // Evidence is looked at before it leaves, so it is never left to somebody else to send.
  const mode = isImage ? (deps.upstreams.get(repository.registry)?.blobs ?? 'cache') : 'cache'
  const range = isImage ? requestedRange(request, digest) : undefined
  return await deps.blobs.openBlob({ client, repository, digest, range, mode, signal })
}

async function send(
  digest: Digest,
  { answer, admission, outgoing }: { answer: BlobAnswer | BlobHeadAnswer; admission: Admission; outgoing: ServerResponse },
): Promise<Answer | 'sent'> {
  switch (answer.kind) {
    case 'not-found':
      return errorAnswer({ status: 404, code: 'BLOB_UNKNOWN', message: 'upstream does not have this blob' })
    case 'is-manifest':
      return errorAnswer({ status: 404, code: 'BLOB_UNKNOWN', message: 'a manifest is not served as a blob' })
    case 'redirect':
      return redirect(answer.location)
    case 'range-not-satisfiable':
      return unsatisfiable(answer.size)
    case 'found':
      return { status: 200, headers: headOf(digest, answer.size), body: Buffer.alloc(0) }
    case 'body':
      if (admission.kind === 'evidence') return await checkedEvidence(digest, answer)
      await stream(digest, answer, outgoing)
      return 'sent'
  }
}

type BodyAnswer = BlobAnswer & { kind: 'body' }

/** Breaks the connection where the body breaks off: the client must not take a part for the whole. */
async function stream(digest: Digest, { body, size, range }: BodyAnswer, outgoing: ServerResponse): Promise<void> {
  const head = headOf(digest, size)
  if (range === undefined) {
    outgoing.writeHead(200, head)
  } else {
    const { start, end } = range
    const partial = { 'content-range': `bytes ${start}-${end}/${size ?? '*'}`, 'content-length': String(end - start + 1) }
    outgoing.writeHead(206, { ...head, ...partial })
  }
  // A client that leaves, or bytes that turn out wrong: both have ended the connection already.
  await pipeline(body, outgoing).catch(() => outgoing.destroy())
}

/** A media type in a manifest is a word; clients that do not read it would unpack a layer that only calls itself evidence. */
async function checkedEvidence(digest: Digest, { body, size }: BodyAnswer): Promise<Answer> {
  if (size === undefined || size > EVIDENCE_BYTES_MAX) {
    body.destroy()
    return errorAnswer({ status: 404, code: 'BLOB_UNKNOWN', message: 'larger than any signature or attestation' })
  }
  const bytes = await buffer(body)
  if (isEvidenceBlob(bytes)) return { status: 200, headers: headOf(digest, bytes.length), body: bytes }
  const message = 'named as a signature or attestation, but it is none'
  return errorAnswer({ status: 403, code: 'DENIED', message, reasonPhrase: `Denied: ${message}` })
}

function headOf(digest: Digest, size: number | undefined): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    ...(size === undefined ? {} : { 'content-length': String(size), 'accept-ranges': 'bytes' }),
    'docker-content-digest': digest,
    'docker-distribution-api-version': 'registry/2.0',
    etag: entityTag(digest),
    'cache-control': 'private, max-age=31536000, immutable',
  }
}

function redirect(location: string): Answer {
  return { status: 307, headers: { location, 'content-length': '0', 'cache-control': 'no-store' }, body: Buffer.alloc(0) }
}

function unsatisfiable(size: number): Answer {
  const headers = { 'content-range': `bytes */${size}` }
  return errorAnswer({ status: 416, code: 'UNSUPPORTED', message: 'no byte of the blob is in that range', headers })
}
