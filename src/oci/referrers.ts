import { parseDescriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { ManifestError } from './manifest-error.ts'
import { MEDIA_TYPE, type Descriptor } from './manifest-types.ts'
import { parseStrictJson, StrictJsonError } from './strict-json.ts'

/** An entry takes some 200 bytes, so a page of 1 MiB does not hold more. */
const ENTRIES_MAX = 10_000

/**
 * One index of all that the lists name, each once and as the last list has it (distribution-spec 1.1, "Listing
 * Referrers"), in bytes. Throws ManifestError where a list is not JSON that every reader takes for the same.
 */
export function mergeReferrers(lists: readonly Buffer[], artifactType: string | undefined): Buffer {
  const all = new Map<Digest, Descriptor>()
  for (const entry of lists.flatMap(entriesOf)) all.set(entry.digest, entry)
  const manifests = [...all.values()].filter(
    (entry) => artifactType === undefined || entry.artifactType === artifactType,
  )
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }))
}

/**
 * The entries that can be read. Anybody with push rights extends such a list, so one bad entry must not hide the others,
 * and places to fetch from (`urls`) are not passed on: what is listed comes through this proxy.
 */
function entriesOf(bytes: Buffer): readonly Descriptor[] {
  const value = parsed(bytes)
  if (typeof value !== 'object' || value === null || !('manifests' in value)) return []
  const { manifests } = value
  if (!Array.isArray(manifests)) return []
  return manifests.slice(0, ENTRIES_MAX).flatMap((entry: unknown, index) => readEntry(entry, index) ?? [])
}

function parsed(bytes: Buffer): unknown {
  try {
    return parseStrictJson(bytes)
  } catch (cause) {
    if (!(cause instanceof StrictJsonError)) throw cause
    throw new ManifestError('json', cause.message, cause)
  }
}

function readEntry(entry: unknown, index: number): Descriptor | undefined {
  try {
    const { urls: _, ...descriptor } = parseDescriptor(entry, `manifests[${index}]`)
    return descriptor
  } catch (error) {
    if (error instanceof ManifestError) return undefined
    throw error
  }
}
