import type { Digest } from '../../src/oci/digest.ts'

/** Which image a tag named from when on, in milliseconds of one clock; the last holds until now. */
export type Move = { readonly atMs: number; readonly digest: Digest; readonly isSigned: boolean }

/** One answer to a client that asked for the tag. */
export type Observation = {
  readonly askedMs: number
  readonly answeredMs: number
  readonly status: number
  /** Of the bytes that came, hashed here. */
  readonly digest: Digest
}

type Span = Move & { readonly untilMs: number }

function spansOf(moves: readonly Move[]): readonly Span[] {
  return moves.map((move, index) => ({ ...move, untilMs: moves[index + 1]?.atMs ?? Infinity }))
}

/**
 * How long ago the tag had ceased to name what was answered, when it was asked for; 0 where it named it at some moment
 * until the answer, undefined where it never had.
 */
export function ageMs(
  moves: readonly Move[],
  { askedMs, answeredMs, digest }: Observation,
): number | undefined {
  const ages = spansOf(moves)
    .filter((span) => span.digest === digest && span.atMs <= answeredMs)
    .map(({ untilMs }) => Math.max(0, askedMs - untilMs))
  return ages.length === 0 ? undefined : Math.min(...ages)
}

/** Whether the tag named an unsigned image at some moment of the `withinMs` before the request, or until the answer. */
export function wasUnsigned(moves: readonly Move[], observed: Observation, withinMs: number): boolean {
  return spansOf(moves).some(
    ({ isSigned, atMs, untilMs }) =>
      !isSigned && atMs <= observed.answeredMs && untilMs >= observed.askedMs - withinMs,
  )
}
