import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { RegistryClient } from '../upstream/types.ts'
import type { Candidate } from '../verify/types.ts'
import { fetchCandidate, type BlobCache } from './evidence-blob.ts'
import { fetchReferrer, readEvidence, type FoundLayer } from './evidence-manifest.ts'
import type { EvidenceReader } from './evidence-reader.ts'
import { noFindings, toDiscovery, type Findings } from './findings.ts'
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
import { selectLayers, selectReferrers } from './selection.ts'
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
  by: { readonly client: RegistryClient; readonly reader: EvidenceReader },
  signal: AbortSignal,
): Promise<Discovery> {
  const place: Place = { ...by, repository, subject, signal }
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
  const { found, what } = tag
  return await readEvidence(place, manifest, { found, what, subject: undefined }, findings)
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
