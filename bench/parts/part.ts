import type { Work } from '../measure.ts'

/** One part of a pull, which is measured by itself. */
export type Part = {
  /** `group/case`. */
  readonly name: string
  /** Makes all that the part needs, and checks once that what is measured is the right answer. */
  readonly open: () => Work | Promise<Work>
}

/** `check` throws where the result is wrong. It sees that of turn 0, which nobody measures. */
export function checked<T>(run: (turn: number) => T, check: (result: T) => void): Work {
  check(run(0))
  return { kind: 'sync', run }
}

export async function checkedAsync<T>(
  run: (turn: number) => Promise<T>,
  check: (result: T) => void,
): Promise<Work> {
  check(await run(0))
  return { kind: 'async', run }
}

/** What several parts need, made when the first of them is opened. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}
