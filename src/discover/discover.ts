import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { RegistryClient } from '../upstream/types.ts'
import type { Candidate } from '../verify/types.ts'
import { fetchCandidate, type BlobCache } from './evidence-blob.ts'
import { fetchReferrer, readEvidence, type FoundLayer } from './evidence-manifest.ts'
import { noFindings, reject, toDiscovery, type Findings } from './findings.ts'
import {
  ATTESTATION_TAG,
  lookUpFallbackTag,
  lookUpReferrers,
  lookUpTag,
  SIGNATURE_TAG,
  type Place,
  type TagLookUp,
} from './look-up.ts'
import { mapBounded } from './map-bounded.ts'
import type { Referrer } from './referrer-list.ts'
import { REFERRERS_MAX, selectLayers } from './selection.ts'
import type { Discovery } from './types.ts'

/** Requests of one discovery at a time; the client bounds those of all together. */
const PARALLEL_MAX = 8

/**
 * Gathers everything that may prove something about `subject`, from all four places at once, because registries and
 * signers differ in which they use. Nothing here is verified: the bytes are those of their digests, and no more is
 * known of them. Never rejects for what an upstream does; that is in `rejected` and `failures`.
 */
export async function discover(
  subject: Digest,
  repository: Repository,
  client: RegistryClient,
  signal: AbortSignal,
): Promise<Discovery> {
  const place: Place = { client, repository, subject, signal }
  const findings = noFindings()
  const [listed, fallback, signatures, attestations] = await Promise.all([
    lookUpReferrers(place, findings),
    lookUpFallbackTag(place, findings),
    lookUpCosignTag(place, SIGNATURE_TAG, findings),
    lookUpCosignTag(place, ATTESTATION_TAG, findings),
  ])
  const seen = new Set([...signatures, ...attestations].map((layer) => layer.source.manifest))
  const referrers = selectReferrers([...listed, ...fallback], seen, findings)
  const referred = await mapBounded(referrers, PARALLEL_MAX, (one) => fetchReferrer(place, one, findings))
  // Cosign's tags come first because their manifests are here already and are only about this subject.
  const layers = selectLayers([signatures, attestations, ...referred], findings)
  findings.candidates.push(...(await fetchCandidates(place, layers, findings)))
  return toDiscovery(findings)
}

async function lookUpCosignTag(
  place: Place,
  tag: TagLookUp,
  findings: Findings,
): Promise<readonly FoundLayer[]> {
  const manifest = await lookUpTag(place, tag, findings)
  if (manifest === undefined) return []
  return readEvidence(manifest, { found: tag.found, subject: undefined }, findings)
}

/**
 * Each manifest once, newest first: lists grow at their end, and under a limit the latest signature is the one that
 * most likely fits the policy of today.
 */
function selectReferrers(
  referrers: readonly Referrer[],
  seen: ReadonlySet<Digest>,
  findings: Findings,
): readonly Referrer[] {
  const unique = new Map<Digest, Referrer>()
  for (const referrer of referrers) {
    const { digest } = referrer.descriptor
    if (!seen.has(digest) && !unique.has(digest)) unique.set(digest, referrer)
  }
  const newestFirst = [...unique.values()].toReversed()
  for (const { found, descriptor } of newestFirst.slice(REFERRERS_MAX)) {
    const source = { found, manifest: descriptor.digest, blob: descriptor.digest }
    reject(findings, source, `more than ${REFERRERS_MAX} referrers that may be evidence`)
  }
  return newestFirst.slice(0, REFERRERS_MAX)
}

async function fetchCandidates(
  place: Place,
  layers: readonly FoundLayer[],
  findings: Findings,
): Promise<readonly Candidate[]> {
  const blobs: BlobCache = new Map()
  const fetched = await mapBounded(layers, PARALLEL_MAX, (layer) =>
    fetchCandidate(place, layer, { blobs, findings }),
  )
  return fetched.filter((candidate) => candidate !== undefined)
}
