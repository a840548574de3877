import type { Digest } from '../oci/digest.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import type { Descriptor } from '../oci/manifest-types.ts'
import { parseManifest } from '../oci/manifest.ts'
import type { UpstreamManifest } from '../upstream/types.ts'
import type { EvidenceSource } from '../verify/types.ts'
import { evidenceLayer, type EvidenceLayer } from './evidence-media-types.ts'
import { recordError, reject, type Findings } from './findings.ts'
import type { Place } from './look-up.ts'
import type { Referrer } from './referrer-list.ts'

/** A layer that may prove something, not yet fetched. */
export type FoundLayer = EvidenceLayer & { readonly source: EvidenceSource; readonly descriptor: Descriptor }

/**
 * The evidence layers of a manifest, newest first: cosign appends. `subject` is what the manifest must say that it is
 * about; cosign's tags predate that field, and there the payload alone says so.
 */
export function readEvidence(
  manifest: UpstreamManifest,
  expected: { readonly found: EvidenceSource['found']; readonly subject: Digest | undefined },
  findings: Findings,
): readonly FoundLayer[] {
  const { found, subject } = expected
  const source: EvidenceSource = { found, manifest: manifest.digest, blob: manifest.digest }
  const contentType = manifest.contentType === '' ? undefined : manifest.contentType
  try {
    const parsed = parseManifest(manifest.bytes, contentType)
    if (parsed.kind === 'index') {
      reject(findings, source, 'an index stands where a manifest with evidence was expected')
      return []
    }
    if (subject !== undefined && parsed.subject?.digest !== subject) {
      reject(
        findings,
        source,
        `listed as a referrer, but its subject is ${parsed.subject?.digest ?? 'absent'}`,
      )
      return []
    }
    return parsed.layers.toReversed().flatMap((descriptor) => {
      const layer = evidenceLayer(descriptor.mediaType)
      return layer === undefined
        ? []
        : [{ ...layer, descriptor, source: { found, manifest: manifest.digest, blob: descriptor.digest } }]
    })
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    reject(findings, source, `a manifest that ${error.message}`)
    return []
  }
}

/** Fetches what a referrers list names. A listed manifest that is missing is a failure: it may be the signature. */
export async function fetchReferrer(
  place: Place,
  { found, descriptor }: Referrer,
  findings: Findings,
): Promise<readonly FoundLayer[]> {
  const { client, repository, subject, signal } = place
  const digest = descriptor.digest
  try {
    const manifest = await client.getManifest(repository, { kind: 'digest', digest }, signal)
    return readEvidence(manifest, { found, subject }, findings)
  } catch (error) {
    recordError(findings, error, {
      what: 'evidence-manifest',
      source: { found, manifest: digest, blob: digest },
    })
    return []
  }
}
