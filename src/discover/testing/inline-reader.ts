import { parseManifest } from '../../oci/manifest.ts'
import type { EvidenceReader } from '../evidence-reader.ts'
import { readReferrerList } from '../referrer-list.ts'

/** Without a thread. */
export const INLINE_READER: EvidenceReader = {
  parseManifest: (bytes, contentType) => Promise.try(parseManifest, bytes, contentType),
  readReferrers: (bytes) => Promise.try(readReferrerList, bytes),
}
