import { LRUCache } from 'lru-cache'

type Something = NonNullable<unknown>

export type Lru<K extends Something, V extends Something> = LRUCache<K, V>

/**
 * The `max` entries that were used last. With an option `max`, lru-cache makes room for all of them at once, which takes two
 * milliseconds for every ten thousand, at a time when nobody knows whether they will come: this one grows.
 */
export function createLru<K extends Something, V extends Something>(
  max: number,
  options: Pick<LRUCache.OptionsBase<K, V, unknown>, 'dispose'> = {},
): Lru<K, V> {
  return new LRUCache<K, V>({ ...options, maxSize: max, sizeCalculation: () => 1 })
}
