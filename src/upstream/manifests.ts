import { digestOf, digestParts, matchesDigest, parseDigest, type Digest } from '../oci/digest.ts'
import { MANIFEST_BYTES_MAX, MEDIA_TYPE } from '../oci/manifest-types.ts'
import { referenceText, type ManifestReference, type Repository } from '../oci/reference.ts'
import type { Exchange, RegistryRequest } from './exchange.ts'
import { describeRequest, headerValue } from './transport.ts'
import { UpstreamError, type RegistryClient, type UpstreamManifest } from './types.ts'

/** Always the same list: a registry that converts by Accept must not give two digests for one tag. */
const ACCEPT = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.dockerManifest,
].join(', ')

const CONTENT_TYPE_LENGTH_MAX = 255

type ManifestMethods = Pick<RegistryClient, 'getManifest' | 'headTag'>

function request(
  repository: Repository,
  reference: ManifestReference,
  method: 'GET' | 'HEAD',
): RegistryRequest {
  const path = `manifests/${referenceText(reference)}`
  const headers = { accept: ACCEPT }
  return { repository, method, kind: 'manifest', path, headers, bytesMax: MANIFEST_BYTES_MAX }
}

/** Checks bytes against the digest asked for, and against the one upstream claims. Returns the digest to call them by. */
function verifiedDigest(
  what: string,
  reference: ManifestReference,
  answer: { readonly bytes: Buffer; readonly claimed: Digest | undefined },
): Digest {
  const { bytes, claimed } = answer
  const asked = reference.kind === 'digest' ? reference.digest : undefined
  if (asked !== undefined && !matchesDigest(bytes, asked)) {
    throw new UpstreamError('invalid', `${what} answered bytes of another digest`)
  }
  // A claim equal to the digest asked for is already proven.
  if (claimed !== undefined && claimed !== asked && !matchesDigest(bytes, claimed)) {
    throw new UpstreamError('invalid', `${what} answered bytes that are not its Docker-Content-Digest`)
  }
  return asked ?? digestOf(bytes)
}

/** Or might be: registries are sloppy about their types, and what is accepted is for the parser to say. A page is none. */
function isManifestType(contentType: string): boolean {
  return contentType === '' || contentType.startsWith('application/')
}

export function createManifestMethods(exchange: Exchange): ManifestMethods {
  const getManifest = async (
    repository: Repository,
    reference: ManifestReference,
    signal: AbortSignal,
  ): Promise<UpstreamManifest> => {
    const answer = await exchange(request(repository, reference, 'GET'), signal)
    if (answer.status !== 200) throw answer.error()
    const what = describeRequest({ method: 'GET', url: answer.url })
    // The digest is over the bytes as stored, so an encoded answer could only be unpacked unverified.
    const encoding = headerValue(answer.headers, 'content-encoding') ?? 'identity'
    if (encoding !== 'identity') throw new UpstreamError('invalid', `${what} answered an encoded manifest`)
    const contentType = headerValue(answer.headers, 'content-type') ?? ''
    if (contentType.length > CONTENT_TYPE_LENGTH_MAX) {
      throw new UpstreamError('invalid', `${what} answered an overlong Content-Type`)
    }
    const claimed = parseDigest(headerValue(answer.headers, 'docker-content-digest') ?? '')
    // A page of whatever sits on the way (a captive portal, a login) is no answer of the registry, which names the digest
    // of what somebody has pushed: it must neither become what a tag points to nor tell that there is no signature.
    const isProven = reference.kind === 'digest' && matchesDigest(answer.bytes, reference.digest)
    if (!isProven && claimed === undefined && !isManifestType(contentType)) {
      throw new UpstreamError('unavailable', `${what} answered a page, not a manifest`)
    }
    const digest = verifiedDigest(what, reference, { bytes: answer.bytes, claimed })
    return { digest, contentType, bytes: answer.bytes }
  }

  const headTag = async (
    repository: Repository,
    reference: ManifestReference,
    signal: AbortSignal,
  ): Promise<Digest> => {
    const answer = await exchange(request(repository, reference, 'HEAD'), signal)
    const claimed = parseDigest(headerValue(answer.headers, 'docker-content-digest') ?? '')
    const unanswered = answer.status === 405 || (answer.status === 200 && claimed === undefined)
    if (unanswered) return (await getManifest(repository, reference, signal)).digest
    if (answer.status !== 200 || claimed === undefined) throw answer.error()
    if (reference.kind === 'tag') return claimed
    const comparable = digestParts(claimed).algorithm === digestParts(reference.digest).algorithm
    if (comparable && claimed !== reference.digest) {
      throw new UpstreamError('invalid', `HEAD ${answer.url.host} answered another digest than was asked for`)
    }
    return reference.digest
  }

  return { getManifest, headTag }
}
