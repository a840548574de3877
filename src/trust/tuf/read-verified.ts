import { TrustError } from '../trust-error.ts'
import { refusing } from './metadata.ts'

/** One file of the repository, and how to tell that bytes are it. */
type Wanted<T> = {
  /** Below the repository's URL. All are names of the same bytes. */
  readonly files: readonly string[]
  readonly bytesMax: number
  /** Throws where they are not. */
  readonly verify: (bytes: Buffer) => T
}

type Verified<T> = { readonly bytes: Buffer; readonly value: T }

/** Gives nothing that was not verified; rejects with TrustError. */
export type ReadVerified = <T>(wanted: Wanted<T>) => Promise<Verified<T>>

/** For start-up: what is not kept is not to be had. */
export function readFrom(kept: ReadonlyMap<string, Buffer>): ReadVerified {
  return async ({ files, verify }) => {
    for (const file of files) {
      const bytes = kept.get(file)
      if (bytes !== undefined) return { bytes, value: refusing(file, () => verify(bytes)) }
    }
    throw new TrustError('damaged', `${files[0]} is missing`)
  }
}

/** For a refresh: what is kept and still right is not asked for again. */
export function readThrough(
  kept: ReadonlyMap<string, Buffer>,
  fetch: (file: string, bytesMax: number) => Promise<Buffer | undefined>,
): ReadVerified {
  return async (wanted) => {
    const { files, bytesMax, verify } = wanted
    const hit = findKept(kept, wanted)
    if (hit !== undefined) return hit
    for (const file of files) {
      const bytes = await fetch(file, bytesMax)
      if (bytes !== undefined) return { bytes, value: refusing(file, () => verify(bytes)) }
    }
    throw new TrustError('unavailable', `the repository lists ${files[0]} and does not have it`)
  }
}

function findKept<T>(
  kept: ReadonlyMap<string, Buffer>,
  { files, verify }: Wanted<T>,
): Verified<T> | undefined {
  for (const file of files) {
    const bytes = kept.get(file)
    if (bytes === undefined) continue
    try {
      return { bytes, value: verify(bytes) }
    } catch {
      // A former version under the same name, as in repositories without consistent snapshots.
    }
  }
  return undefined
}
