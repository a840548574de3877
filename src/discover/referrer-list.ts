import { parseDescriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import { MEDIA_TYPE, type Descriptor } from '../oci/manifest-types.ts'
import { parseStrictJson, StrictJsonError } from '../oci/strict-json.ts'
import type { EvidenceSource } from '../verify/types.ts'
import { mayBeEvidence } from './evidence-media-types.ts'
import { reject, type Findings } from './findings.ts'

/** A manifest that somebody says is about the subject. */
export type Referrer = {
  readonly found: 'referrer' | 'fallback-tag'
  readonly descriptor: Descriptor
}

export type ReferrerPage = {
  readonly found: Referrer['found']
  /** The manifest that the list is, for the record: the subject where the list is an answer of the API. */
  readonly list: Digest
  readonly bytes: Buffer
}

/** As many as a page holds in 1 MiB and more: an entry takes some 200 bytes. */
const ENTRIES_MAX = 10_000

function isList(value: unknown): value is { readonly manifests: readonly unknown[] } {
  return typeof value === 'object' && value !== null && 'manifests' in value && Array.isArray(value.manifests)
}

/**
 * The referrers of one page that may be evidence, oldest first as registries list them. Unlike an image's index the
 * list is only a hint that anybody with push rights extends, so a bad entry is set aside and the others count.
 */
export function readReferrers(page: ReferrerPage, findings: Findings): readonly Referrer[] {
  const source: EvidenceSource = { found: page.found, manifest: page.list, blob: page.list }
  const entries = readEntries(page.bytes)
  if (typeof entries === 'string') {
    reject(findings, source, entries)
    return []
  }
  return entries.flatMap((entry, index) => {
    const descriptor = readEntry(entry, index)
    if (typeof descriptor === 'string') {
      reject(findings, source, descriptor)
      return []
    }
    return isWanted(descriptor) ? [{ found: page.found, descriptor }] : []
  })
}

/** The entries, or why there are none. */
function readEntries(bytes: Buffer): readonly unknown[] | string {
  try {
    const value = parseStrictJson(bytes)
    if (!isList(value)) return 'the list of referrers is no image index'
    return value.manifests.length <= ENTRIES_MAX
      ? value.manifests
      : `the list of referrers has more than ${ENTRIES_MAX} entries`
  } catch (error) {
    if (error instanceof StrictJsonError) return `the list of referrers is unreadable: ${error.message}`
    throw error
  }
}

function readEntry(entry: unknown, index: number): Descriptor | string {
  try {
    return parseDescriptor(entry, `manifests[${index}]`)
  } catch (error) {
    if (error instanceof ManifestError) return `the list of referrers ${error.message}`
    throw error
  }
}

/** Evidence is always an image manifest; an index or an unknown type holds no layers to look at. */
function isWanted({ mediaType, artifactType }: Descriptor): boolean {
  const image = mediaType === MEDIA_TYPE.ociManifest || mediaType === MEDIA_TYPE.dockerManifest
  return image && mayBeEvidence(artifactType)
}
