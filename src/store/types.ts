import type { ByteReader } from '../byte-reader.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Discovery } from '../discover/types.ts'

/** Immutable bytes by digest, on disk, under a byte budget. What is in it was hashed before it was put there. */
export type ContentStore = {
  /** Bytes, or undefined where it is not stored. Counts as a use. */
  size(digest: Digest): number | undefined
  /** Counts a use of content that was not read, because its bytes are in memory. */
  noteUse(digest: Digest): void
  /** Whole content; undefined where it is not stored or turns out damaged (then it is dropped). For small content. */
  read(digest: Digest): Promise<Buffer | undefined>
  /** Bytes [start, end] inclusive. Content is not evicted while a reader of it is open. */
  open(digest: Digest, range?: { start: number; end: number }): Promise<ByteReader | undefined>
  /** Stores bytes whose digest the caller has checked; atomic. A full disk loses the copy, never the request. */
  put(digest: Digest, bytes: Buffer): Promise<void>
  /** A temporary file for bytes that are still arriving; `commit` makes it content, `discard` removes it. */
  createIncoming(digest: Digest): Promise<IncomingContent>
}

export type IncomingContent = {
  readonly path: string
  /** All of them, in order, in one go. */
  write(...chunks: readonly Uint8Array[]): Promise<void>
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

  /**
   * Settles once every cached fact told so far outlives the end of the process: before an answer that rests on them leaves. Never
   * rejects: what the disk refuses is kept in memory.
   */
  written(): Promise<void>
  /** Writes them now: there may be no time to wait. */
  flush(): void

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
  /**
   * Adds what was pulled since the last call, in one transaction: pulls count up, the newest judgement stays. Bounded;
   * what was pulled longest ago goes first. Throws StoreError.
   */
  noteSightings(sightings: readonly Sighting[]): void
  /** Pulled at `since` or later, row by row, so that never all of them are in memory. */
  sightings(since: Date): Iterable<StoredSighting>
  /** What verification found of an image, so that it can be judged again without verifying; see findings.ts. A cached fact. */
  setFindings(repository: Repository, subject: Digest, findings: StoredFindings): void
  getFindings(repository: Repository, subject: Digest): StoredFindings | undefined
  /** Since when each policy demands what it demands in the mode that it has in each ring; one a policy and ring. */
  rolloutStages(): readonly RolloutStage[]
  /** Puts `begun` in the place of what was there for the same policy and ring, and drops `ended`. Throws StoreError. */
  changeRolloutStages(change: { begun: readonly RolloutStage[]; ended: readonly StageKey[] }): void
  /** Writes durably what somebody decided about a stage, before it returns the id of the record. Throws StoreError. */
  recordPromotion(promotion: Promotion): number
  /** Newest first, at most 10,000. */
  promotions(limit: number): readonly StoredPromotion[]
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

/** Pulls of one image by the clients of one ring, and what the policies said of it the last time. */
export type Sighting = {
  readonly repository: Repository
  readonly digest: Digest
  readonly ring: string
  /** Tags by which it was pulled; at most 8 are kept. */
  readonly tags: readonly string[]
  readonly pulls: number
  /** Of the last pull. */
  readonly at: Date
  readonly outcome: 'serve' | 'refuse' | 'hold'
  /** Any verified signature or attestation, by whomever. */
  readonly isSigned: boolean
  /** Any verified SLSA provenance, by whomever. */
  readonly hasProvenance: boolean
  readonly results: readonly SightedResult[]
}

export type SightedResult = {
  readonly policy: string
  readonly version: string
  /** In the ring. */
  readonly mode: 'off' | 'observe' | 'enforce'
  readonly verdict: 'satisfied' | 'violated' | 'undetermined'
  /** The most telling reason or cause, one line; empty where it is satisfied. */
  readonly because: string
}

export type StoredSighting = Omit<Sighting, 'at' | 'results'> & {
  readonly firstAt: Date
  readonly lastAt: Date
  readonly results: readonly StoredResult[]
}

/** With the pulls that the policy has judged in this version and mode, and when the first of them was. */
export type StoredResult = SightedResult & { readonly pulls: number; readonly from: Date }

export type StageKey = { readonly policy: string; readonly ring: string }

export type RolloutStage = StageKey & {
  /** Of the policy. */
  readonly version: string
  readonly mode: 'off' | 'observe' | 'enforce'
  readonly since: Date
}

/** Somebody's decision to give a policy another mode in a ring, and what was known then. */
export type Promotion = StageKey & {
  readonly at: Date
  readonly from: 'off' | 'observe' | 'enforce'
  readonly to: 'off' | 'observe' | 'enforce'
  readonly policyVersion: string
  /** As told: for the record, no proof. */
  readonly by: string
  /** Whether every criterion held. */
  readonly isMet: boolean
  /** The criteria and the figures behind them, as JSON. */
  readonly criteria: string
  /** Why it was done all the same; undefined where every criterion held. */
  readonly override: string | undefined
}

export type StoredPromotion = Promotion & { readonly id: number }

/** `trusted`: what it was verified with, in one form for one meaning; with more or other trust it must be verified again. */
export type StoredFindings = { readonly trusted: string; readonly json: string }

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
