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

/** `inRing`, once for all judgements with the same results: a warm request finds what it enforces. */
export function rememberInRing(): InRing {
  const known = new PerRing<Judgement['results'], Judgement>()
  return (judgement, ring) => {
    const { results } = judgement
    let mapped = known.get(ring, results)
    if (mapped === undefined) known.set(ring, results, (mapped = inRing(judgement, ring)))
    return mapped
  }
}
