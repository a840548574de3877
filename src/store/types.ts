import type { Readable } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Discovery } from '../discover/types.ts'

/** Immutable bytes by digest, on disk, under a byte budget. What is in it was hashed before it was put there. */
export type ContentStore = {
  /** Bytes, or undefined where it is not stored. Counts as a use. */
  size(digest: Digest): number | undefined
  /** Whole content; undefined where it is not stored or turns out damaged (then it is dropped). For small content. */
  read(digest: Digest): Promise<Buffer | undefined>
  /** Bytes [start, end] inclusive. Content is not evicted while a stream of it is open. */
  open(digest: Digest, range?: { start: number; end: number }): Promise<Readable | undefined>
  /** Stores bytes whose digest the caller has checked; atomic. A full disk loses the copy, never the request. */
  put(digest: Digest, bytes: Buffer): Promise<void>
  /** A temporary file for bytes that are still arriving; `commit` makes it content, `discard` removes it. */
  createIncoming(digest: Digest): Promise<IncomingContent>
}

export type IncomingContent = {
  readonly path: string
  write(chunk: Uint8Array): Promise<void>
  /** Renames into place. The caller has checked the digest. */
  commit(): Promise<void>
  discard(): Promise<void>
}

/** What is remembered across restarts about repositories. Synchronous: SQLite, a few microseconds a call. */
export type StateStore = {
  /** Remembers that `parent`, which was let through, names `children` (manifests) and `blobs`. Idempotent. */
  addClosure(
    repository: Repository,
    parent: Digest,
    closure: { children: readonly Digest[]; blobs: readonly Digest[]; isEvidence: boolean },
  ): void
  /** Manifests of this repository that name `digest` as a child manifest. At most 64, newest first. */
  parentsOfManifest(repository: Repository, digest: Digest): readonly Digest[]
  /** Image manifests of this repository that name `digest` as a blob. At most 64, newest first. */
  parentsOfBlob(repository: Repository, digest: Digest): readonly Digest[]
  /** Evidence manifests likewise. Anyone who may push can make these. */
  evidenceParentsOfBlob(repository: Repository, digest: Digest): readonly Digest[]
  /** Remembers that upstream served the blob from this repository. */
  addBlob(repository: Repository, digest: Digest): void
  hasBlob(repository: Repository, digest: Digest): boolean
  /** The Content-Type under which this repository's upstream served the manifest; undefined where it never did. */
  manifestType(repository: Repository, digest: Digest): string | undefined
  addManifest(repository: Repository, digest: Digest, contentType: string): void
  /** True where `digest` is known to be a manifest in any repository. */
  isManifest(digest: Digest): boolean

  getTag(repository: Repository, tag: Tag): { digest: Digest; checkedAt: Date } | undefined
  setTag(repository: Repository, tag: Tag, digest: Digest, checkedAt: Date): void
  /** Forgets the tag: upstream said that it is not there, or not ours. */
  dropTag(repository: Repository, tag: Tag): void

  /** What was found and is worth looking at again; a large discovery is kept in part. Verified on every use. */
  getEvidence(repository: Repository, subject: Digest): { discovery: Discovery; gatheredAt: Date } | undefined
  setEvidence(repository: Repository, subject: Digest, discovery: Discovery, gatheredAt: Date): void

  /**
   * That the image is pulled: what is known of it, and of the indexes that name it, is evicted last. Costs a look into
   * memory; for warm pulls too, else what nobody has to read from disk any more looks as if nobody pulled it.
   */
  noteUse(repository: Repository, digest: Digest): void

  /** Remembers that the image satisfied this version of the policy at that time. A cached fact. */
  noteSatisfied(fact: SatisfiedFact): void
  /** When it last did; undefined where it never has. */
  lastSatisfied(fact: Omit<SatisfiedFact, 'at'>): Date | undefined
  /** A log entry that was looked up and verified, kept for good under its budget; `uuid` is hex, `json` Rekor's own form. */
  getLogEntry(log: string, uuid: string): string | undefined
  setLogEntry(log: string, uuid: string, entry: { logIndex: string; json: string }): void
  /** By index in the log, for those who ask Rekor's API so. */
  findLogEntry(log: string, logIndex: string): { uuid: string; json: string } | undefined
  /**
   * Writes durably that an image was served though nobody could judge it, before it returns; a repeat counts, and adds
   * the client (at most 32 are kept). Throws StoreError where the disk refuses.
   */
  admitOpen(admission: OpenAdmission): void
  /** Those that still wait to be judged, oldest first, at most 10,000. */
  openAdmissions(): readonly StoredAdmission[]
  /** What an admitted image turned out to be. Durable. Throws StoreError. */
  closeAdmission(id: number, finding: { at: Date; verdict: 'satisfied' | 'violated'; reason: string }): void
  /** Newest first. */
  admissions(limit: number): readonly StoredAdmission[]
  /** Writes a decision durably before it returns. A repeat of `key` only counts up. Returns whether it was new. */
  recordDecision(decision: {
    key: string
    id: string
    at: Date
    json: string
    /** The image, where the decision refuses one. */
    refused?: { repository: Repository; digest: Digest } | undefined
  }): boolean
  /** Whether a decision refused the image, ever. Throws StoreError. */
  wasRefused(repository: Repository, digest: Digest): boolean
  /** Adds repeats of a decision that were counted in memory; does nothing where it was never recorded. */
  countDecision(key: string, count: number, at: Date): void
  decisions(
    limit: number,
  ): readonly { id: string; firstAt: Date; lastAt: Date; count: number; json: string }[]
  close(): void
}

export type SatisfiedFact = {
  readonly repository: Repository
  readonly digest: Digest
  readonly policy: string
  readonly policyVersion: string
  readonly at: Date
}

/** One image that stance `open` let pass. */
export type OpenAdmission = {
  readonly repository: Repository
  readonly digest: Digest
  readonly policies: readonly string[]
  readonly decision: string
  /** Address of who pulled it. */
  readonly client: string
  readonly at: Date
}

export type StoredAdmission = Omit<OpenAdmission, 'client' | 'at'> & {
  readonly id: number
  readonly firstAt: Date
  readonly lastAt: Date
  readonly count: number
  readonly clients: readonly string[]
  readonly finding: { at: Date; verdict: 'satisfied' | 'violated'; reason: string } | undefined
}
