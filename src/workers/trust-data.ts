import { toKeyData, toPublicKey, type KeyData } from '../work/task.ts'
import { createTrustSnapshot, type TrustSnapshot } from '../trust/snapshot.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import type { HeldKey, KeySet, TrustRoot } from '../verify/types.ts'

/** A trust snapshot as plain data: what is parsed of it belongs to one process. */
export type TrustData = {
  readonly version: string
  readonly roots: readonly Omit<TrustRoot, 'material'>[]
  readonly unusable: ReadonlyMap<string, string>
  readonly keys: ReadonlyMap<string, KeySetData>
}

type KeySetData =
  | { readonly kind: 'held'; readonly keys: readonly (Omit<HeldKey, 'key'> & { readonly key: KeyData })[] }
  | Extract<KeySet, { kind: 'missing' }>

export function trustDataOf({ version, roots, unusable, keys }: TrustSnapshot): TrustData {
  return {
    version,
    roots: [...roots.values()].flat().map(({ material: _material, ...root }) => root),
    unusable,
    keys: new Map([...keys].map(([reference, set]) => [reference, keySetData(set)])),
  }
}

/**
 * The same snapshot, of which `before` has parsed roots already. Throws TypeError where it comes out as another one: a
 * worker that does not trust what its keeper trusts must not judge.
 */
export function snapshotOf(data: TrustData, before: TrustSnapshot | undefined): TrustSnapshot {
  const parsed = [...(before?.roots.values() ?? [])].flat()
  const roots = data.roots.map(({ name, kind, version, json, isRetiring }): TrustRoot => {
    const known = parsed.find((root) => root.name === name && root.version === version)
    const root = known ?? readTrustRoot(name, json, kind)
    if ('problem' in root) throw new TypeError(`trust root ${name}: ${root.problem}`)
    return { ...root, isRetiring }
  })
  const keys = new Map([...data.keys].map(([reference, set]) => [reference, keySetOf(set)]))
  const snapshot = createTrustSnapshot({ roots, unusable: data.unusable, keys })
  if (snapshot.version === data.version) return snapshot
  throw new TypeError(`found trust ${snapshot.version}, expected ${data.version}`)
}

function keySetData(set: KeySet): KeySetData {
  if (set.kind === 'missing') return set
  return { kind: 'held', keys: set.keys.map((held) => ({ ...held, key: toKeyData(held.key) })) }
}

function keySetOf(data: KeySetData): KeySet {
  if (data.kind === 'missing') return data
  return { kind: 'held', keys: data.keys.map((held) => ({ ...held, key: toPublicKey(held.key) })) }
}
