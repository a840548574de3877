import type { Answer } from './http/answer.ts'
import type { Digest } from './oci/digest.ts'
import type { Repository } from './oci/reference.ts'

/** What one process has found out and the others cannot find in the store. */
export type News = Judged | RefusalDocument

/**
 * A judgement after which no outage lets the image pass, or one after which an outage may again. Not each of them is a
 * decision on the disk.
 */
type Judged = {
  readonly kind: 'refused' | 'forgiven'
  readonly repository: Repository
  readonly digest: Digest
}

/** What a client was told to ask for by its digest: it may ask another process. */
type RefusalDocument = {
  readonly kind: 'refusal-document'
  readonly digest: Digest
  readonly answer: Answer
}

/** Other processes that serve from the same store. */
export type Peers = {
  /** Reaches them soon, not at once. */
  tell(news: News): void
  /** What they tell from now on. */
  onNews(listener: (news: News) => void): void
}
