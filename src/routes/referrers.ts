import type { Answer } from '../http/answer.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import { digestParts, type Digest } from '../oci/digest.ts'
import { parseManifest } from '../oci/manifest.ts'
import { MEDIA_TYPE, type Descriptor } from '../oci/manifest-types.ts'
import { parseTag, type Repository } from '../oci/reference.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { RoutedRequest } from './request.ts'

/**
 * Referrers as clients ask for them (distribution-spec 1.1, "Listing Referrers"): the API and the fallback tag, merged,
 * because verifiers differ in which of the two they look at. Only a listing: what is listed proves nothing.
 */
export async function answerReferrers(
  request: RoutedRequest,
  target: { readonly digest: Digest; readonly artifactType?: string | undefined },
  client: RegistryClient,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    const [listed, tagged] = await Promise.all([
      fromApi(request.repository, target.digest, client, signal),
      fromFallbackTag(request.repository, target.digest, client, signal),
    ])
    const all = [...new Map([...tagged, ...listed].map((entry) => [entry.digest, entry])).values()]
    return listing(all, target.artifactType)
  } catch (error) {
    if (error instanceof UpstreamError) return upstreamFailureAnswer(error, 'manifest')
    throw error
  }
}

function listing(all: readonly Descriptor[], artifactType: string | undefined): Answer {
  const manifests = artifactType === undefined ? all : all.filter((entry) => entry.artifactType === artifactType)
  const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }))
  const headers = {
    // go-containerregistry takes the answer only under exactly this type.
    'content-type': MEDIA_TYPE.ociIndex,
    'content-length': String(body.length),
    'docker-distribution-api-version': 'registry/2.0',
    ...(artifactType === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
  }
  return { status: 200, headers, body }
}

async function fromApi(
  repository: Repository,
  subject: Digest,
  client: RegistryClient,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const pages = (await client.getReferrers(repository, subject, signal)) ?? []
  return pages.flatMap((page) => entriesOf(page, MEDIA_TYPE.ociIndex))
}

async function fromFallbackTag(
  repository: Repository,
  subject: Digest,
  client: RegistryClient,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const { algorithm, hex } = digestParts(subject)
  const tag = parseTag(`${algorithm}-${hex}`)
  if (tag === undefined) return []
  try {
    const { bytes, contentType } = await client.getManifest(repository, { kind: 'tag', tag }, signal)
    return entriesOf(bytes, contentType)
  } catch (error) {
    if (error instanceof UpstreamError && error.code === 'not-found') return []
    throw error
  }
}

/** A page that is no index lists nothing. */
function entriesOf(bytes: Buffer, contentType: string): readonly Descriptor[] {
  try {
    const manifest = parseManifest(bytes, contentType)
    return manifest.kind === 'index' ? manifest.manifests : []
  } catch {
    throw new UpstreamError('invalid', 'upstream lists referrers in a document that is not a valid index')
  }
}
