import { hash } from 'node:crypto'
import type { TrustRoot } from '../verify/types.ts'
import { TrustError } from './trust-error.ts'

/** All trust roots at one moment. Verdicts depend on `version`: it changes exactly when a name or a document does. */
export type TrustSnapshot = { readonly version: string; readonly roots: ReadonlyMap<string, TrustRoot> }

/** The order of `roots` does not matter. Throws TrustError `snapshot` where two roots have one name. */
export function createTrustSnapshot(roots: readonly TrustRoot[]): TrustSnapshot {
  const sorted = roots.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const byName = new Map(sorted.map((root) => [root.name, root]))
  if (byName.size !== roots.length) throw new TrustError('snapshot', 'two trust roots have the same name')
  const content = JSON.stringify(sorted.map(({ name, version }) => [name, version]))
  return { version: `sha256:${hash('sha256', content, 'hex')}`, roots: byName }
}
