import type { Metadata, Root } from '@tufjs/models'
import { TrustError } from '../trust-error.ts'
import type { InitialRoot } from './initial-root.ts'
import { parseRoot, refusing } from './metadata.ts'
import { ROOT_FILE, rootFile } from './names.ts'

export type RootChain = {
  readonly newest: Metadata<Root>
  /** Every root of the chain by its file name, the initial one included. */
  readonly files: ReadonlyMap<string, Buffer>
}

/**
 * Walks from the initial root to the newest that `find` has (TUF specification, section 5.3). Each must be signed by
 * the one before it and by itself. Throws TrustError `refused` at one that is not.
 */
export function walkRoots(
  initial: InitialRoot,
  find: (file: string, version: number) => Buffer | undefined,
): RootChain {
  const files = new Map([[rootFile(initial.version), initial.bytes]])
  let newest = initial.metadata
  for (;;) {
    const version = newest.signed.version + 1
    const file = rootFile(version)
    const bytes = find(file, version)
    if (bytes === undefined) return { newest, files }
    newest = refusing(file, () => follow(newest, parseRoot(bytes)))
    files.set(file, bytes)
  }
}

function follow(trusted: Metadata<Root>, next: Metadata<Root>): Metadata<Root> {
  trusted.verifyDelegate('root', next)
  next.verifyDelegate('root', next)
  const expected = trusted.signed.version + 1
  if (next.signed.version !== expected) {
    throw new TrustError('refused', `root ${expected} says that it is root ${next.signed.version}`)
  }
  return next
}

/** The newest root among these files, by name; 0 where there is none. */
export function newestRootIn(files: Iterable<string>): number {
  return Math.max(0, ...Array.from(files, (file) => Number(ROOT_FILE.exec(file)?.[1] ?? 0)))
}
