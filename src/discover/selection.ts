import type { Digest } from '../oci/digest.ts'
import type { FoundLayer } from './evidence-manifest.ts'
import { unread, reject, type Findings } from './findings.ts'
import type { Referrer } from './look-up.ts'

const CANDIDATES_MAX = 64
const REFERRERS_MAX = 64
/** Annotations included. All of it is verified at once, and one attestation may take it all. */
const CANDIDATE_BYTES_MAX = 16 * 1024 * 1024
/** A certificate, a log entry and a timestamp are below 20 KiB. */
const ANNOTATION_CHARS_MAX = 256 * 1024

/**
 * Each manifest once, newest first: lists grow at their end, and under a limit the latest signature is the one that
 * most likely fits the policy of today. Whoever may push may also make the list too long, so that is no absence.
 */
export function selectReferrers(
  referrers: readonly Referrer[],
  seen: ReadonlySet<Digest>,
  findings: Findings,
): readonly Referrer[] {
  const unique = new Map<Digest, Referrer>()
  for (const referrer of referrers) {
    if (!seen.has(referrer.digest) && !unique.has(referrer.digest)) unique.set(referrer.digest, referrer)
  }
  const newestFirst = [...unique.values()].toReversed()
  const omitted = newestFirst.slice(REFERRERS_MAX)
  for (const { found, digest } of omitted) {
    const message = `more than ${REFERRERS_MAX} referrers that may be evidence`
    reject(findings, { found, manifest: digest, blob: digest }, message)
  }
  if (omitted.length > 0) {
    const message = `only the newest ${REFERRERS_MAX} of ${newestFirst.length} referrers were looked at`
    unread(findings, 'referrers', message)
  }
  return newestFirst.slice(0, REFERRERS_MAX)
}

/**
 * One of each list in turn. Whoever may push can fill one manifest with rubbish, and so only spends that manifest's
 * share of the limits.
 */
function takeInTurn<T>(lists: readonly (readonly T[])[]): readonly T[] {
  const longest = Math.max(0, ...lists.map((list) => list.length))
  return Array.from({ length: longest }, (_, round) =>
    lists.flatMap((list) => list.slice(round, round + 1)),
  ).flat()
}

/**
 * The layers to fetch, in order. What is over a limit is rejected by name; what came before it stays. Where all of them
 * together are too many, that what was left out is no evidence is not known.
 */
export function selectLayers(
  lists: readonly (readonly FoundLayer[])[],
  findings: Findings,
): readonly FoundLayer[] {
  const chosen: FoundLayer[] = []
  let bytes = 0
  let omitted = 0
  for (const layer of takeInTurn(lists)) {
    const cost = layer.descriptor.size + annotationChars(layer)
    const own = ownProblem(layer)
    const together = own === undefined ? problemTogether(chosen.length, bytes + cost) : undefined
    const problem = own ?? together
    if (together !== undefined) omitted++
    if (problem !== undefined) {
      reject(findings, layer.source, problem)
      continue
    }
    chosen.push(layer)
    bytes += cost
  }
  if (omitted > 0) {
    unread(findings, 'evidence-blob', `${omitted} signatures and attestations were more than is looked at`)
  }
  return chosen
}

function ownProblem(layer: FoundLayer): string | undefined {
  const { size } = layer.descriptor
  if (size > layer.bytesMax) {
    return `${size} bytes are more than the ${layer.bytesMax} that such evidence may have`
  }
  const chars = annotationChars(layer)
  return chars > ANNOTATION_CHARS_MAX
    ? `annotations of ${chars} characters are more than the ${ANNOTATION_CHARS_MAX} of a signature`
    : undefined
}

function problemTogether(count: number, bytes: number): string | undefined {
  if (count >= CANDIDATES_MAX) return `more than ${CANDIDATES_MAX} signatures and attestations`
  return bytes > CANDIDATE_BYTES_MAX
    ? `more than ${CANDIDATE_BYTES_MAX} bytes of signatures and attestations`
    : undefined
}

function annotationChars({ annotations }: FoundLayer): number {
  return Object.values(annotations).reduce((sum, text) => sum + text.length, 0)
}
