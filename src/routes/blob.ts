import type { ServerResponse } from 'node:http'
import type { BlobAnswer, BlobHeadAnswer, BlobMode, BlobService } from '../blob.ts'
import { readToEnd } from '../byte-reader.ts'
import { errorAnswer, type Answer } from '../http/answer.ts'
import { contentRange, entityTag, requestedRange, type ResolvedRange } from '../http/range.ts'
import { sendBytes } from '../http/send-bytes.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import type { Digest } from '../oci/digest.ts'
import { EVIDENCE_BLOB_BYTES_MAX } from '../oci/evidence-types.ts'
import type { Repository } from '../oci/reference.ts'
import type { Metrics } from '../record/metrics.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { VerificationRunner } from '../work/runner.ts'
import { WorkError } from '../work/work-error.ts'
import {
  admitBlob,
  assertMember,
  admitBlobNow,
  type BlobAdmission,
  type BlobAdmissionDeps,
} from './blob-admission.ts'
import type { RoutedRequest, WarmAnswer } from './request.ts'

export type BlobRouteDeps = BlobAdmissionDeps & {
  blobs: BlobService
  metrics: Pick<Metrics, 'blobs'>
  runner: Pick<VerificationRunner, 'isEvidenceBlob'>
  upstreams: ReadonlyMap<string, { readonly blobs: BlobMode }>
}

type Opened = BlobAnswer | BlobHeadAnswer
type BodyAnswer = BlobAnswer & { kind: 'body' }
type BytesAnswer = BlobAnswer & { kind: 'bytes' }

type To = { readonly client: RegistryClient; readonly outgoing: ServerResponse }

/** Sends the blob itself where there is one, because it is a stream; every other answer is returned. */
export async function answerBlob(
  request: RoutedRequest,
  digest: Digest,
  to: To,
  deps: BlobRouteDeps,
): Promise<Answer | 'sent'> {
  const { repository } = request
  try {
    const admission = await admitBlob(request, digest, deps)
    if (admission.kind === 'denied') {
      count(repository, 'denied', deps)
      return admission.answer
    }
    if (!isVouched(admission)) await assertMember({ repository, client: to.client }, digest, deps)
    const opened = await open(request, digest, { admission, client: to.client }, deps)
    try {
      noteOpened(repository, digest, opened, deps)
      return await send(digest, { opened, admission, outgoing: to.outgoing }, deps)
    } finally {
      if (opened.kind === 'body') opened.body.close()
    }
  } catch (error) {
    count(repository, 'failed', deps)
    if (error instanceof UpstreamError) return upstreamFailureAnswer(error, 'blob')
    if (error instanceof WorkError)
      return errorAnswer({ status: 503, code: 'UNAVAILABLE', message: error.message })
    throw error
  }
}

/** The same for a small blob that is in memory; undefined where there is something to wait for, or to refuse. */
export function answerBlobWarm(
  request: RoutedRequest,
  digest: Digest,
  deps: BlobRouteDeps,
): WarmAnswer | undefined {
  const { repository, method } = request
  // Whether there is a place to redirect to, only upstream knows.
  if (method !== 'GET' || modeOf(repository, deps) === 'redirect') return undefined
  // Cheaper to ask than who may have it.
  if (!deps.blobs.isInMemory(digest)) return undefined
  const admission = admitBlobNow(request, digest, deps)
  if (admission === undefined) return undefined
  const range = requestedRange(request, digest)
  const opened = deps.blobs.openInMemory({ repository, digest, range })
  if (opened === undefined) return undefined
  noteOpened(repository, digest, opened, deps)
  if (opened.kind !== 'bytes') return { answer: unsatisfiable(opened.size), again: undefined }
  // A part would keep the memory of the whole.
  const holds = opened.range === undefined ? admission.holds : undefined
  const told = (): void => {
    deps.blobs.noteHit({ repository, digest })
    count(repository, 'body', deps)
  }
  return { answer: bytesAnswer(digest, opened), again: holds === undefined ? undefined : { holds, told } }
}

function noteOpened(
  repository: Repository,
  digest: Digest,
  opened: Opened,
  deps: Pick<BlobRouteDeps, 'state' | 'metrics'>,
): void {
  const isBlob = opened.kind === 'body' || opened.kind === 'bytes'
  if (isBlob && !deps.state.hasBlob(repository, digest)) deps.state.addBlob(repository, digest)
  count(repository, isBlob ? 'body' : opened.kind, deps)
}

function count({ registry }: Repository, result: string, { metrics }: Pick<BlobRouteDeps, 'metrics'>): void {
  metrics.blobs.inc({ registry, result })
}

function modeOf({ registry }: Repository, { upstreams }: Pick<BlobRouteDeps, 'upstreams'>): BlobMode {
  return upstreams.get(registry)?.blobs ?? 'cache'
}

function isVouched(admission: BlobAdmission): boolean {
  return admission.kind === 'image' && admission.vouched
}

async function open(
  request: RoutedRequest,
  digest: Digest,
  { admission, client }: { admission: BlobAdmission; client: RegistryClient },
  deps: BlobRouteDeps,
): Promise<Opened> {
  const { repository } = request
  const signal = deps.deadline()
  const isImage = admission.kind === 'image'
  const mode = isImage ? modeOf(repository, deps) : 'cache'
  if (request.method === 'HEAD' && isImage) {
    return await deps.blobs.headBlob({ client, repository, digest, mode, signal })
  }
  // Evidence is looked at before it leaves, for HEAD too, so it is never left to somebody else to send.
  const range = isImage ? requestedRange(request, digest) : undefined
  return await deps.blobs.openBlob({ client, repository, digest, range, mode, signal })
}

async function send(
  digest: Digest,
  { opened, admission, outgoing }: { opened: Opened; admission: BlobAdmission; outgoing: ServerResponse },
  deps: Pick<BlobRouteDeps, 'runner' | 'deadline'>,
): Promise<Answer | 'sent'> {
  switch (opened.kind) {
    case 'not-found':
      return errorAnswer({ status: 404, code: 'BLOB_UNKNOWN', message: 'upstream does not have this blob' })
    case 'is-manifest':
      return errorAnswer({ status: 404, code: 'BLOB_UNKNOWN', message: 'a manifest is not served as a blob' })
    case 'redirect':
      return redirect(opened.location)
    case 'range-not-satisfiable':
      return unsatisfiable(opened.size)
    case 'found':
      return { status: 200, headers: headOf(digest, opened.size), body: Buffer.alloc(0) }
    case 'bytes':
      if (admission.kind === 'evidence') return await checkedEvidence(digest, opened, deps)
      return bytesAnswer(digest, opened)
    case 'body': {
      if (admission.kind === 'evidence') return await checkedEvidence(digest, opened, deps)
      const { status, headers } = headFor(digest, opened)
      outgoing.writeHead(status, headers)
      await sendBytes(opened.body, outgoing)
      return 'sent'
    }
  }
}

function bytesAnswer(digest: Digest, opened: BytesAnswer): Answer {
  return { ...headFor(digest, opened), body: opened.bytes }
}

/** A media type in a manifest is a word; clients that do not read it would unpack a layer that only calls itself evidence. */
async function checkedEvidence(
  digest: Digest,
  opened: BodyAnswer | BytesAnswer,
  { runner, deadline }: Pick<BlobRouteDeps, 'runner' | 'deadline'>,
): Promise<Answer> {
  if (opened.size === undefined || opened.size > EVIDENCE_BLOB_BYTES_MAX) {
    return errorAnswer({
      status: 404,
      code: 'BLOB_UNKNOWN',
      message: 'larger than any signature or attestation',
    })
  }
  const bytes = opened.kind === 'bytes' ? opened.bytes : await readToEnd(opened.body)
  const isEvidence = await runner.isEvidenceBlob(bytes, deadline())
  if (isEvidence) return { status: 200, headers: headOf(digest, bytes.length), body: bytes }
  const message = 'named as a signature or attestation, but it is none'
  return errorAnswer({ status: 403, code: 'DENIED', message, reasonPhrase: `Denied: ${message}` })
}

/** RFC 9110 section 15.3.7: the head of a part says which part, and its length. */
function headFor(
  digest: Digest,
  { size, range }: { size: number | undefined; range: ResolvedRange | undefined },
): Pick<Answer, 'status' | 'headers'> {
  const whole = headOf(digest, size)
  if (range === undefined || size === undefined) return { status: 200, headers: whole }
  const length = String(range.end - range.start + 1)
  const part = { 'content-range': contentRange(range, size), 'content-length': length }
  return { status: 206, headers: { ...whole, ...part } }
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
