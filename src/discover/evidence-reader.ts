import type { Manifest } from '../oci/manifest-types.ts'
import type { ReferrerList } from './referrer-list.ts'

/** Reads what a registry answered, however large and strange, without holding the event loop. */
export type EvidenceReader = {
  /** Rejects with ManifestError; with WorkError where the work did not finish and nobody knows. */
  parseManifest(bytes: Buffer, contentType: string | undefined, signal: AbortSignal): Promise<Manifest>
  /** Rejects with WorkError. */
  readReferrers(bytes: Buffer, signal: AbortSignal): Promise<ReferrerList>
}
