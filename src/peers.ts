import type { Digest } from './oci/digest.ts'
import type { Repository } from './oci/reference.ts'

/**
 * What one process has found out and the others cannot find in the store: a judgement after which no outage lets the image
 * pass, or one after which an outage may again. Not each of them is a decision on the disk.
 */
export type News = {
  readonly kind: 'refused' | 'forgiven'
  readonly repository: Repository
  readonly digest: Digest
}

/** Other processes that serve from the same store. */
export type Peers = {
  /** Reaches them soon, not at once. */
  tell(news: News): void
  /** What they tell from now on. */
  onNews(listener: (news: News) => void): void
}
