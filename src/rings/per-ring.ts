import { inRing, type Ring } from '../policy/ring.ts'
import type { Judgement } from '../policy/types.ts'

/** What has been worked out of something for one ring; forgotten with either. */
export class PerRing<Key extends WeakKey, Value> {
  readonly #rings = new WeakMap<Ring, WeakMap<Key, Value>>()

  get(ring: Ring, key: Key): Value | undefined {
    return this.#rings.get(ring)?.get(key)
  }

  set(ring: Ring, key: Key, value: Value): void {
    let known = this.#rings.get(ring)
    if (known === undefined) this.#rings.set(ring, (known = new WeakMap()))
    known.set(key, value)
  }
}

/** What a judgement comes to in a ring. */
export type InRing = (judgement: Judgement, ring: Ring) => Judgement

/** `inRing`, once for each judgement and ring: a warm request finds what it enforces. */
export function rememberInRing(): InRing {
  const known = new PerRing<Judgement, Judgement>()
  return (judgement, ring) => {
    let mapped = known.get(ring, judgement)
    if (mapped === undefined) known.set(ring, judgement, (mapped = inRing(judgement, ring)))
    return mapped
  }
}
