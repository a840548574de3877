import type { Digest } from '../oci/digest.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import type { Descriptor, Manifest } from '../oci/manifest-types.ts'
import type { UpstreamManifest } from '../upstream/types.ts'
import type { EvidenceSource } from '../verify/types.ts'
import { evidenceLayer, proofAnnotations, type EvidenceLayer } from './evidence-media-types.ts'
import { recordError, reject, type Findings } from './findings.ts'
import type { Place, Referrer } from './look-up.ts'
import type { DiscoveryFailure } from './types.ts'

/** A signature with its certificates and log entry takes some 8 KiB: a hundred of them on one image fit. */
const EVIDENCE_MANIFEST_BYTES_MAX = 1024 * 1024

/** A layer that may prove something, not yet fetched. */
export type FoundLayer = EvidenceLayer & {
  readonly source: EvidenceSource
  readonly descriptor: Descriptor
  readonly annotations: Readonly<Record<string, string>>
}

/** What a manifest was asked for as. */
type Expected = {
  readonly found: EvidenceSource['found']
  readonly what: DiscoveryFailure['what']
  readonly subject: Digest | undefined
}

/**
 * The evidence layers of a manifest, newest first: cosign appends. `subject` is what the manifest must say that it is
 * about; cosign's tags predate that field, and there the payload alone says so.
 */
export async function readEvidence(
  { reader, signal }: Place,
  manifest: UpstreamManifest,
  { found, what, subject }: Expected,
  findings: Findings,
): Promise<readonly FoundLayer[]> {
  const { bytes, digest } = manifest
  const source: EvidenceSource = { found, manifest: digest, blob: digest }
  if (bytes.length > EVIDENCE_MANIFEST_BYTES_MAX) {
    reject(findings, source, `a manifest of more than ${EVIDENCE_MANIFEST_BYTES_MAX} bytes`)
    return []
  }
  const contentType = manifest.contentType === '' ? undefined : manifest.contentType
  try {
    const layers = evidenceLayers(await reader.parseManifest(bytes, contentType, signal), subject)
    if (typeof layers !== 'string') {
      return layers.map((layer) => ({ ...layer, source: { ...source, blob: layer.descriptor.digest } }))
    }
    reject(findings, source, layers)
  } catch (error) {
    if (error instanceof ManifestError) reject(findings, source, `a manifest that ${error.message}`)
    else recordError(findings, error, { what, source })
  }
  return []
}

/** The layers, or why there are none. */
function evidenceLayers(
  manifest: Manifest,
  subject: Digest | undefined,
): readonly Omit<FoundLayer, 'source'>[] | string {
  if (manifest.kind === 'index') return 'an index stands where a manifest with evidence was expected'
  if (subject !== undefined && manifest.subject?.digest !== subject) {
    return `listed as a referrer, but its subject is ${manifest.subject?.digest ?? 'absent'}`
  }
  return manifest.layers.toReversed().flatMap((descriptor) => {
    const layer = evidenceLayer(descriptor.mediaType)
    return layer === undefined ? [] : [{ ...layer, descriptor, annotations: proofAnnotations(descriptor) }]
  })
}

/** Fetches what a referrers list names. A listed manifest that is missing is a failure: it may be the signature. */
export async function fetchReferrer(
  place: Place,
  { found, digest }: Referrer,
  findings: Findings,
): Promise<readonly FoundLayer[]> {
  const { client, repository, subject, signal } = place
  const what = 'evidence-manifest'
  try {
    const manifest = await client.getManifest(repository, { kind: 'digest', digest }, signal)
    return await readEvidence(place, manifest, { found, what, subject }, findings)
  } catch (error) {
    recordError(findings, error, { what, source: { found, manifest: digest, blob: digest } })
    return []
  }
}
