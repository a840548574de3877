import type { ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { BlobAnswer, BlobHeadAnswer, BlobService } from '../blob.ts'
import { errorAnswer, type Answer } from '../http/answer.ts'
import { contentRange, entityTag, requestedRange } from '../http/range.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import { causeOf } from '../cause.ts'
import { withDeadline } from '../deadline.ts'
import { isVouchedFor, type Gate } from '../gate.ts'
import type { Judge } from '../judge.ts'
import type { Digest } from '../oci/digest.ts'
import { EVIDENCE_BLOB_BYTES_MAX } from '../oci/evidence-types.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import type { Ring } from '../policy/ring.ts'
import type { Judgement, Mode, Outcome } from '../policy/types.ts'
import type { Metrics } from '../record/metrics.ts'
import type { InRing } from '../rings/per-ring.ts'
import type { StateStore } from '../store/types.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { VerificationRunner } from '../work/runner.ts'
import { WorkError } from '../work/work-error.ts'
import type { RoutedRequest } from './request.ts'

export type BlobRouteDeps = {
  blobs: BlobService
  judge: Pick<Judge, 'judge' | 'known' | 'undetermined'>
  gate: Pick<Gate, 'peek' | 'admittedLately'>
  state: Pick<StateStore, 'parentsOfBlob' | 'evidenceParentsOfBlob' | 'isManifest' | 'hasBlob' | 'addBlob'>
  modeOf(repositoryName: string, ring: Ring): Mode
  inRing: InRing
  metrics: Pick<Metrics, 'blobs'>
  runner: Pick<VerificationRunner, 'isEvidenceBlob'>
  deadline: () => AbortSignal
  upstreams: ReadonlyMap<string, { readonly blobs: 'cache' | 'stream' | 'redirect' }>
}

/** What lets a blob out of a repository. */
type Admission =
  /** `vouched`: by a manifest that a policy is content with, and not only because none forbids it or can forbid it now. */
  | { readonly kind: 'image'; readonly vouched: boolean }
  /** Only signatures and attestations name it, so it must be one. */
  | { readonly kind: 'evidence' }
  | { readonly kind: 'denied'; readonly answer: Answer }

/** Manifests judged anew for one blob: an ordinary blob has one parent that matters. */
const PARENTS_JUDGED_MAX = 4

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
    const admission = await admit(request, digest, deps)
    if (admission.kind === 'denied') {
      count('denied')
      return admission.answer
    }
    if (!isVouched(admission)) await assertMember({ repository, client: to.client }, digest, deps)
    const answer = await open(request, digest, { admission, client: to.client }, deps)
    if (answer.kind === 'body' && !deps.state.hasBlob(repository, digest))
      deps.state.addBlob(repository, digest)
    count(answer.kind)
    return await send(digest, { answer, admission, outgoing: to.outgoing }, deps)
  } catch (error) {
    count('failed')
    if (error instanceof UpstreamError) return upstreamFailureAnswer(error, 'blob')
    if (error instanceof WorkError)
      return errorAnswer({ status: 503, code: 'UNAVAILABLE', message: error.message })
    throw error
  }
}

type Asker = Pick<RoutedRequest, 'repository' | 'ring'>

/** In enforce mode a blob leaves only where a manifest of this repository that is let through in this ring now names it. */
async function admit(asker: Asker, digest: Digest, deps: BlobRouteDeps): Promise<Admission> {
  const { repository, ring } = asker
  if (deps.state.isManifest(digest)) return denied(404, 'a manifest is not served as a blob')
  if (deps.modeOf(repositoryName(repository), ring) !== 'enforce') return { kind: 'image', vouched: false }
  const images = await bestOf(asker, deps.state.parentsOfBlob(repository, digest), deps)
  if (images?.kind === 'serve') return { kind: 'image', vouched: isVouchedFor(images) }
  // Signatures and attestations are let through without a policy, so what they name must be looked at.
  const evidence = await bestOf(asker, deps.state.evidenceParentsOfBlob(repository, digest), deps)
  if (evidence?.kind === 'serve') return { kind: 'evidence' }
  if (images?.kind === 'hold')
    return denied(503, 'the image that this blob belongs to cannot be verified now; retry later')
  if (images?.kind === 'refuse')
    return denied(403, 'the image that this blob belongs to is blocked; pull the image to see why')
  return denied(404, 'no image that was let through from this repository names this blob')
}

/** The best outcome of any of the manifests. Those already judged are asked first, and only a few of the others. */
async function bestOf(
  { repository, ring }: Asker,
  parents: readonly Digest[],
  deps: BlobRouteDeps,
): Promise<Outcome | undefined> {
  const { judge, gate, deadline, inRing } = deps
  const outcomeOf = (parent: Digest, judgement: Judgement): Outcome =>
    gate.peek(repository, parent, inRing(judgement, ring))
  const known = parents.map(
    (parent) => judge.known(repository, parent)?.judgement ?? gate.admittedLately(repository, parent),
  )
  const outcomes = parents.flatMap((parent, index) => {
    const judgement = known[index]
    return judgement === undefined ? [] : [outcomeOf(parent, judgement)]
  })
  const served = outcomes.filter((outcome) => outcome.kind === 'serve')
  if (served.length > 0) return served.find(isVouchedFor) ?? served[0]
  const signal = deadline()
  const unknown = parents.filter((_, index) => known[index] === undefined)
  for (const parent of unknown.slice(0, PARENTS_JUDGED_MAX)) {
    // oxlint-disable-next-line no-await-in-loop -- the first that admits is enough
    const outcome = outcomeOf(parent, await judgementOf(repository, parent, signal, deps))
    if (outcome.kind === 'serve') return outcome
    outcomes.push(outcome)
  }
  return outcomes.find(({ kind }) => kind === 'hold') ?? outcomes[0]
}

/** A manifest that cannot be had or judged now must not hide another one that admits the blob. */
async function judgementOf(
  repository: Repository,
  parent: Digest,
  signal: AbortSignal,
  { judge }: Pick<BlobRouteDeps, 'judge'>,
): Promise<Judgement> {
  try {
    return (await withDeadline(judge.judge(repository, parent), signal)).judgement
  } catch (error) {
    const cause = causeOf(error)
    if (cause === undefined) throw error
    return judge.undetermined(repository, parent, cause).judgement
  }
}

/**
 * Bytes are cached by digest for all repositories; that another one's pull has cached them does not make them this
 * one's. A manifest that a policy is content with has said so; otherwise upstream is asked, once. Throws UpstreamError.
 */
async function assertMember(
  { repository, client }: { repository: Repository; client: RegistryClient },
  digest: Digest,
  { blobs, state, deadline }: BlobRouteDeps,
): Promise<void> {
  if (!blobs.isCached(digest) || state.hasBlob(repository, digest)) return
  try {
    await client.headBlob(repository, digest, deadline())
    state.addBlob(repository, digest)
  } catch (error) {
    const isOutage =
      error instanceof UpstreamError && (error.code === 'unavailable' || error.code === 'timeout')
    const isNamed = state.parentsOfBlob(repository, digest).length > 0
    if (!isOutage || !isNamed) throw error
  }
}

function isVouched(admission: Admission): boolean {
  return admission.kind === 'image' && admission.vouched
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
  const isImage = admission.kind === 'image'
  const mode = isImage ? (deps.upstreams.get(repository.registry)?.blobs ?? 'cache') : 'cache'
  if (request.method === 'HEAD' && isImage) {
    return await deps.blobs.headBlob({ client, repository, digest, mode, signal })
  }
  // Evidence is looked at before it leaves, for HEAD too, so it is never left to somebody else to send.
  const range = isImage ? requestedRange(request, digest) : undefined
  return await deps.blobs.openBlob({ client, repository, digest, range, mode, signal })
}

async function send(
  digest: Digest,
  {
    answer,
    admission,
    outgoing,
  }: { answer: BlobAnswer | BlobHeadAnswer; admission: Admission; outgoing: ServerResponse },
  deps: Pick<BlobRouteDeps, 'runner' | 'deadline'>,
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
      if (admission.kind === 'evidence') return await checkedEvidence(digest, answer, deps)
      await stream(digest, answer, outgoing)
      return 'sent'
  }
}

type BodyAnswer = BlobAnswer & { kind: 'body' }

/** Breaks the connection where the body breaks off: the client must not take a part for the whole. */
async function stream(
  digest: Digest,
  { body, size, range }: BodyAnswer,
  outgoing: ServerResponse,
): Promise<void> {
  const head = headOf(digest, size)
  if (range === undefined || size === undefined) {
    outgoing.writeHead(200, head)
  } else {
    const length = String(range.end - range.start + 1)
    const partial = { 'content-range': contentRange(range, size), 'content-length': length }
    outgoing.writeHead(206, { ...head, ...partial })
  }
  // A client that leaves, or bytes that turn out wrong: both have ended the connection already.
  await pipeline(body, outgoing).catch(() => outgoing.destroy())
}

/** A media type in a manifest is a word; clients that do not read it would unpack a layer that only calls itself evidence. */
async function checkedEvidence(
  digest: Digest,
  { body, size }: BodyAnswer,
  { runner, deadline }: Pick<BlobRouteDeps, 'runner' | 'deadline'>,
): Promise<Answer> {
  if (size === undefined || size > EVIDENCE_BLOB_BYTES_MAX) {
    body.destroy()
    return errorAnswer({
      status: 404,
      code: 'BLOB_UNKNOWN',
      message: 'larger than any signature or attestation',
    })
  }
  const bytes = await buffer(body)
  const isEvidence = await runner.isEvidenceBlob(bytes, deadline())
  if (isEvidence) return { status: 200, headers: headOf(digest, bytes.length), body: bytes }
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
  return {
    status: 307,
    headers: { location, 'content-length': '0', 'cache-control': 'no-store' },
    body: Buffer.alloc(0),
  }
}

function unsatisfiable(size: number): Answer {
  const headers = { 'content-range': contentRange(undefined, size) }
  return errorAnswer({
    status: 416,
    code: 'UNSUPPORTED',
    message: 'no byte of the blob is in that range',
    headers,
  })
}
