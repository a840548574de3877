import { digestParts, type Digest } from '../oci/digest.ts'
import { parseTag, type Repository } from '../oci/reference.ts'
import { REFERRER_PAGES_MAX } from '../upstream/listings.ts'
import { UpstreamError, type RegistryClient, type UpstreamManifest } from '../upstream/types.ts'
import type { EvidenceSource } from '../verify/types.ts'
import type { EvidenceReader } from './evidence-reader.ts'
import { unread, recordError, reject, type Findings } from './findings.ts'
import type { DiscoveryFailure } from './types.ts'

/** The registry to ask, and whom about. */
export type Place = {
  readonly client: RegistryClient
  readonly reader: EvidenceReader
  readonly repository: Repository
  readonly subject: Digest
  readonly signal: AbortSignal
}

/** A manifest that somebody says is about the subject. */
export type Referrer = { readonly found: 'referrer' | 'fallback-tag'; readonly digest: Digest }

export type TagLookUp = {
  readonly suffix: '' | '.sig' | '.att'
  readonly found: EvidenceSource['found']
  readonly what: DiscoveryFailure['what']
}

const FALLBACK_TAG: TagLookUp = { suffix: '', found: 'fallback-tag', what: 'fallback-tag' }
export const SIGNATURE_TAG: TagLookUp = { suffix: '.sig', found: 'signature-tag', what: 'signature-tag' }
export const ATTESTATION_TAG: TagLookUp = {
  suffix: '.att',
  found: 'attestation-tag',
  what: 'attestation-tag',
}

/**
 * distribution-spec 1.1 "Referrers Tag Schema" cuts the hex at 64 characters; cosign does not cut, so its tags for a
 * sha512 digest are longer than a tag may be and cannot exist.
 */
function evidenceTag(subject: Digest, suffix: TagLookUp['suffix']): ReturnType<typeof parseTag> {
  const { algorithm, hex } = digestParts(subject)
  return parseTag(`${algorithm}-${suffix === '' ? hex.slice(0, 64) : hex}${suffix}`)
}

/** The manifest under one of the subject's tags; undefined where there is none or the reason is in the findings. */
export async function lookUpTag(
  place: Place,
  { suffix, found, what }: TagLookUp,
  findings: Findings,
): Promise<UpstreamManifest | undefined> {
  const { client, repository, subject, signal } = place
  const tag = evidenceTag(subject, suffix)
  if (tag === undefined) return undefined
  try {
    return await client.getManifest(repository, { kind: 'tag', tag }, signal)
  } catch (error) {
    // Only 404 is absence. 401 and 403 may hide a signature, and a signature may carry a policy's refusal.
    if (error instanceof UpstreamError && error.code === 'not-found') return undefined
    recordError(findings, error, { what, source: { found, manifest: subject, blob: subject } })
    return undefined
  }
}

/** What the referrers API lists; nothing where upstream has no such API. */
export async function lookUpReferrers(place: Place, findings: Findings): Promise<readonly Referrer[]> {
  const { client, repository, subject, signal } = place
  try {
    const pages = (await client.getReferrers(repository, subject, signal)) ?? []
    // The client stops there, so a full count may mean that there was more.
    if (pages.length >= REFERRER_PAGES_MAX) {
      const message = `the list of referrers was read up to the limit of ${REFERRER_PAGES_MAX} pages`
      unread(findings, 'referrers', message)
    }
    const lists = pages.map((bytes) => readList(place, { found: 'referrer', list: subject, bytes }, findings))
    return (await Promise.all(lists)).flat()
  } catch (error) {
    const source = { found: 'referrer', manifest: subject, blob: subject } as const
    recordError(findings, error, { what: 'referrers', source })
    return []
  }
}

/** What the index under the fallback tag lists. */
export async function lookUpFallbackTag(place: Place, findings: Findings): Promise<readonly Referrer[]> {
  const manifest = await lookUpTag(place, FALLBACK_TAG, findings)
  if (manifest === undefined) return []
  const { digest, bytes } = manifest
  return await readList(place, { found: 'fallback-tag', list: digest, bytes }, findings)
}

type Page = {
  readonly found: Referrer['found']
  /** The manifest that the list is, for the record: the subject where the list is an answer of the API. */
  readonly list: Digest
  readonly bytes: Buffer
}

async function readList(
  { reader, signal }: Place,
  { found, list, bytes }: Page,
  findings: Findings,
): Promise<readonly Referrer[]> {
  const what = found === 'referrer' ? 'referrers' : found
  const source = { found, manifest: list, blob: list }
  try {
    const { manifests, problems, overLimit } = await reader.readReferrers(bytes, signal)
    for (const problem of problems) reject(findings, source, problem)
    if (overLimit !== undefined) unread(findings, what, overLimit)
    return manifests.map((digest) => ({ found, digest }))
  } catch (error) {
    recordError(findings, error, { what, source })
    return []
  }
}
