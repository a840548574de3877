/** One request as the upstream saw it, in milliseconds of one clock: from its arrival until its answer left. */
export type Span = { readonly startMs: number; readonly endMs: number }

/**
 * How many of the requests waited for one another: the longest chain in which each began after the one before had ended.
 * Requests that were on their way at the same time are one wave.
 */
export function wavesOf(spans: readonly Span[]): number {
  let waves = 0
  let endMs = Number.NEGATIVE_INFINITY
  // The one that ends first leaves the most room for the rest of a chain.
  for (const span of spans.toSorted((a, b) => a.endMs - b.endMs)) {
    if (span.startMs < endMs) continue
    waves += 1
    endMs = span.endMs
  }
  return waves
}
