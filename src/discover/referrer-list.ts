import { parseDescriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import { MEDIA_TYPE, type Descriptor } from '../oci/manifest-types.ts'
import { parseStrictJson, StrictJsonError } from '../oci/strict-json.ts'
import { mayBeEvidence } from './evidence-media-types.ts'

/** What a list of referrers says, in a form that is small however large the list is. */
export type ReferrerList = {
  /** The manifests that may be evidence, each once, oldest first as registries list them; of too many the newest. */
  readonly manifests: readonly Digest[]
  /** What is wrong with the list, a line each, and no more of them than somebody reads. */
  readonly problems: readonly string[]
  /** Why not all of it was looked at: it is over a limit, which says nothing about what else is in it. */
  readonly overLimit: string | undefined
}

/** As many as a page holds in 1 MiB and more: an entry takes some 200 bytes. */
const ENTRIES_MAX = 10_000
const PROBLEMS_MAX = 200
/** Far more than are fetched, and few to hand from one thread to another. */
const MANIFESTS_MAX = 1000

function isList(value: unknown): value is { readonly manifests: readonly unknown[] } {
  return typeof value === 'object' && value !== null && 'manifests' in value && Array.isArray(value.manifests)
}

/**
 * Reads a list of referrers. Unlike an image's index the list is only a hint that anybody with push rights extends, so
 * a bad entry is set aside and the others count.
 */
export function readReferrerList(bytes: Buffer): ReferrerList {
  const none = { manifests: [], problems: [], overLimit: undefined }
  const entries = readEntries(bytes)
  if ('problem' in entries) return { ...none, problems: [entries.problem] }
  if ('overLimit' in entries) return { ...none, overLimit: entries.overLimit }
  const wanted = new Set<Digest>()
  const problems: string[] = []
  for (const [index, entry] of entries.list.entries()) {
    const descriptor = readEntry(entry, index)
    if (typeof descriptor !== 'string') {
      if (isWanted(descriptor)) wanted.add(descriptor.digest)
    } else if (problems.length < PROBLEMS_MAX) problems.push(descriptor)
  }
  const isOver = wanted.size > MANIFESTS_MAX
  const overLimit = isOver
    ? `the list of referrers has more than ${MANIFESTS_MAX} that may be evidence`
    : undefined
  return { manifests: [...wanted].slice(-MANIFESTS_MAX), problems, overLimit }
}

type Entries = { list: readonly unknown[] } | { problem: string } | { overLimit: string }

function readEntries(bytes: Buffer): Entries {
  try {
    const value = parseStrictJson(bytes)
    if (!isList(value)) return { problem: 'the list of referrers is no image index' }
    if (value.manifests.length <= ENTRIES_MAX) return { list: value.manifests }
    return { overLimit: `the list of referrers has more than ${ENTRIES_MAX} entries` }
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error
    if (error.code === 'size') return { overLimit: `the list of referrers ${error.message}` }
    return { problem: `the list of referrers is unreadable: ${error.message}` }
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
