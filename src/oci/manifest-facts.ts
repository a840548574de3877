import type { Digest } from './digest.ts'
import { closureOf, foreignUrls, isEvidenceManifest } from './manifest.ts'
import type { Manifest } from './manifest-types.ts'

/** All that is asked of a manifest once it is parsed. The whole of it takes three times as much memory. */
export type ManifestFacts = {
  /** What is sent as Content-Type. */
  readonly mediaType: string
  readonly children: readonly Digest[]
  readonly blobs: readonly Digest[]
  readonly isEvidence: boolean
  /** As foreignUrls finds them. */
  readonly foreignHosts: readonly string[]
}

const NOWHERE: readonly string[] = []

export function factsOf(manifest: Manifest): ManifestFacts {
  const hosts = foreignUrls(manifest)
  const isEvidence = isEvidenceManifest(manifest)
  const { mediaType } = manifest
  return { mediaType, ...closureOf(manifest), isEvidence, foreignHosts: hosts.length === 0 ? NOWHERE : hosts }
}
