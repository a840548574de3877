import type { FoundLayer } from './evidence-manifest.ts'
import { reject, type Findings } from './findings.ts'

const CANDIDATES_MAX = 64
export const REFERRERS_MAX = 64
const CANDIDATE_BYTES_MAX = 64 * 1024 * 1024

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

/** The layers to fetch, in order. What is over a limit is rejected by name; what came before it stays. */
export function selectLayers(
  lists: readonly (readonly FoundLayer[])[],
  findings: Findings,
): readonly FoundLayer[] {
  const chosen: FoundLayer[] = []
  let bytes = 0
  for (const layer of takeInTurn(lists)) {
    const { size } = layer.descriptor
    const problem =
      size > layer.bytesMax
        ? `${size} bytes are more than the ${layer.bytesMax} that such evidence may have`
        : chosen.length >= CANDIDATES_MAX
          ? `more than ${CANDIDATES_MAX} signatures and attestations`
          : bytes + size > CANDIDATE_BYTES_MAX
            ? `more than ${CANDIDATE_BYTES_MAX} bytes of signatures and attestations`
            : undefined
    if (problem === undefined) {
      chosen.push(layer)
      bytes += size
    } else reject(findings, layer.source, problem)
  }
  return chosen
}
