import { shareFlight } from '../flight.ts'
import { errorAnswer, type Answer } from '../http/answer.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import { digestParts, type Digest } from '../oci/digest.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { parseTag, repositoryName, type Repository } from '../oci/reference.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { VerificationRunner } from '../work/runner.ts'
import { WorkError } from '../work/work-error.ts'
import type { RoutedRequest } from './request.ts'

export type ReferrersRouteDeps = {
  readonly runner: Pick<VerificationRunner, 'mergeReferrers'>
  /** The time limit of one listing, which several requests may share. */
  readonly workLimit: () => AbortSignal
}

type ReferrersTarget = { readonly digest: Digest; readonly artifactType?: string | undefined }

export type ReferrersRoute = (
  request: Pick<RoutedRequest, 'repository'>,
  target: ReferrersTarget,
  client: RegistryClient,
) => Promise<Answer>

/** distribution-spec 1.1, "Referrers Tag Schema": the hex is cut there. */
const TAG_HEX_MAX = 64

/**
 * Referrers as clients ask for them (distribution-spec 1.1, "Listing Referrers"): the API and the fallback tag, merged,
 * because verifiers differ in which of the two they look at. Only a listing: what is listed proves nothing. Requests for
 * the same at the same time get the same answer.
 */
export function createReferrersRoute({ runner, workLimit }: ReferrersRouteDeps): ReferrersRoute {
  const flights = new Map<string, Promise<Buffer>>()

  async function list(
    repository: Repository,
    { digest, artifactType }: ReferrersTarget,
    client: RegistryClient,
  ): Promise<Buffer> {
    const signal = workLimit()
    const [listed, tagged] = await Promise.all([
      client.getReferrers(repository, digest, signal),
      fromFallbackTag(repository, digest, client, signal),
    ])
    // Last what the API says, which counts where the tag says something else.
    return await runner.mergeReferrers([...tagged, ...(listed ?? [])], artifactType, signal)
  }

  return async function answerReferrers({ repository }, target, client) {
    const { digest, artifactType } = target
    const key = JSON.stringify([repositoryName(repository), digest, artifactType])
    try {
      return listing(await shareFlight(flights, key, () => list(repository, target, client)), artifactType)
    } catch (error) {
      return failure(error)
    }
  }
}

function listing(body: Buffer, artifactType: string | undefined): Answer {
  const headers = {
    // go-containerregistry takes the answer only under exactly this type.
    'content-type': MEDIA_TYPE.ociIndex,
    'content-length': String(body.length),
    'docker-distribution-api-version': 'registry/2.0',
    ...(artifactType === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
  }
  return { status: 200, headers, body }
}

function failure(error: unknown): Answer {
  if (error instanceof UpstreamError) return upstreamFailureAnswer(error, 'manifest')
  if (error instanceof ManifestError) {
    const message = `upstream lists referrers in a document that ${error.message}`
    return upstreamFailureAnswer(new UpstreamError('invalid', message, { cause: error }), 'manifest')
  }
  if (error instanceof WorkError)
    return errorAnswer({ status: 503, code: 'UNAVAILABLE', message: error.message })
  throw error
}

async function fromFallbackTag(
  repository: Repository,
  subject: Digest,
  client: RegistryClient,
  signal: AbortSignal,
): Promise<readonly Buffer[]> {
  const { algorithm, hex } = digestParts(subject)
  const tag = parseTag(`${algorithm}-${hex.slice(0, TAG_HEX_MAX)}`)
  if (tag === undefined) return []
  try {
    return [(await client.getManifest(repository, { kind: 'tag', tag }, signal)).bytes]
  } catch (error) {
    if (error instanceof UpstreamError && error.code === 'not-found') return []
    throw error
  }
}
