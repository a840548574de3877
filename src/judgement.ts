import type { Epoch } from './epoch.ts'
import { digestOf, digestParts, type Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { revokedBy } from './policy/revocation.ts'
import { inRing } from './policy/ring.ts'
import { UNMATCHED } from './policy/decide.ts'
import type { ImageFacts, Judgement, PolicyResult } from './policy/types.ts'
import type { MissingCause } from './policy/verdict.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'

/** What follows from judgements as they are remembered, and from that of an index for what it names. */

/** Stands for all rings that no policy names: a ring has a name, so none is called this. */
const ELSEWHERE = ''

export function isDetermined({ results }: Judgement): boolean {
  return results.every(({ mode, verdict }) => mode === 'off' || verdict.kind !== 'undetermined')
}

/** Every policy that counts is satisfied, there is one, and no revocation hits. */
export function isSatisfied({ results }: Judgement): boolean {
  const counting = results.filter(({ mode }) => mode !== 'off')
  return counting.length > 0 && counting.every(({ verdict }) => verdict.kind === 'satisfied')
}

/** Nothing that could still be pushed would change it. */
export function isSettled({ results }: Judgement): boolean {
  return results.every(
    ({ policy, mode, verdict }) => mode === 'off' || policy === UNMATCHED || verdict.kind === 'satisfied',
  )
}

/** The first moment at which something that satisfies is too old to; undefined: never. */
export function endOf({ results }: Judgement): Date | undefined {
  const ends = results.flatMap(({ verdict }) =>
    verdict.kind === 'satisfied' && verdict.until !== undefined ? [verdict.until] : [],
  )
  return ends.toSorted((a, b) => a.getTime() - b.getTime())[0]
}

/** Whether some clients are served what is judged so: `isServed` is asked ring by ring. */
export function isServedSomewhere(judgement: Judgement, isServed: (inOne: Judgement) => boolean): boolean {
  const named = judgement.results.flatMap(({ modes }) => [...modes.byRing.keys()])
  return [...new Set([ELSEWHERE, ...named])].some((name) =>
    isServed(inRing(judgement, { name, stanceLimit: undefined })),
  )
}

/**
 * Policy by policy: what is true of the index is true of what it names, and a child may also stand for itself. What
 * rests on the index in this way takes along the revocations that hit the index.
 */
export function covered(own: Judgement, index: Judgement | undefined): Judgement {
  const satisfied = new Map(
    index?.results.filter(isSatisfiedResult).map((result) => [result.policy, result] as const),
  )
  const results = own.results.map((result) =>
    isSatisfiedResult(result) ? result : (satisfied.get(result.policy) ?? result),
  )
  if (index === undefined || results.every((result, position) => result === own.results[position])) return own
  // Both are judged by the same policies, so only a revocation can be there for one of them alone.
  const names = new Set(own.results.map(({ policy }) => policy))
  return { results: [...index.results.filter(({ policy }) => !names.has(policy)), ...results] }
}

function isSatisfiedResult({ verdict }: PolicyResult): boolean {
  return verdict.kind === 'satisfied'
}

export function causesOf({ results }: Judgement): readonly MissingCause[] {
  return results.flatMap(({ verdict }) => (verdict.kind === 'undetermined' ? verdict.causes : []))
}

/** What many indexes lack for one reason is lacking once: it goes on to all that they name. */
export function oneOfEachKind(causes: readonly MissingCause[]): readonly MissingCause[] {
  const kinds = causes.map((cause) => [`${cause.dependency} ${cause.policies?.join()}`, cause] as const)
  return [...new Map(kinds.toReversed()).values()].toReversed()
}

/** Under which revocations know it: by SHA-256, whichever digest it is pulled by. */
export function imageOf({ registry, name }: Repository, { digest, bytes }: FetchedManifest): ImageFacts {
  return { registry, name, digest: isCanonical(digest) ? digest : digestOf(bytes) }
}

/** Whether revocations know an image by this digest. */
export function isCanonical(digest: Digest): boolean {
  return digestParts(digest).algorithm === 'sha256'
}

/** Those that hit the image itself, whatever is known of it. */
export function revocationsOf(epoch: Epoch, image: ImageFacts): readonly PolicyResult[] {
  return revokedBy(epoch.revoking(repositoryName(image)), { image, verified: [] })
}
