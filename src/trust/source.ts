import type { KeySet, TrustRoot } from '../verify/types.ts'

/** What a source gives the snapshot at one moment. */
export type SourceParts = {
  readonly roots: readonly TrustRoot[]
  /** Why the root of the source's name cannot be used, in one line; undefined where it can, or where it has none. */
  readonly unusable: string | undefined
  /** By reference. */
  readonly keys: ReadonlyMap<string, KeySet>
}

/** Something that trust comes from: a repository, a file, a KMS. */
export type TrustSource = {
  readonly name: string
  readonly refreshEveryMs: number
  /** From memory: no I/O. */
  parts(now: Date): SourceParts
  /** Renews what it holds. Rejects with TrustError, and then holds what it held. */
  refresh(signal: AbortSignal): Promise<void>
  status(now: Date): SourceStatus
}

export type SourceState = 'fresh' | 'stale' | 'unusable'

/** What `portcullis trust status` and the admin listener show of one source. */
export type SourceStatus = {
  readonly name: string
  readonly kind: 'public-good' | 'tuf' | 'pinned' | 'pki' | 'keys' | 'kms'
  /** A URL or a path. */
  readonly origin: string
  readonly state: SourceState
  /** One line where the state is not fresh, or the last renewal failed. */
  readonly problem: string | undefined
  /** When it last was renewed: confirmed by its origin, or read. */
  readonly renewedAt: Date | undefined
  readonly warnsAt: Date | undefined
  readonly stopsAt: Date | undefined
  readonly documents: readonly { readonly version: string; readonly isRetiring: boolean }[]
  /** TUF roles, and until when a downstream client accepts what is served again. */
  readonly roles: readonly { readonly role: string; readonly version: number; readonly expires: Date }[]
  readonly servableUntil: Date | undefined
  /** Keys, logs and certificate authorities with the time in which each counts. */
  readonly held: readonly HeldItem[]
}

export type HeldItem = {
  readonly what: 'certificate-authority' | 'log' | 'ct-log' | 'timestamp-authority' | 'key'
  readonly name: string
  readonly from: Date | undefined
  readonly until: Date | undefined
  readonly isRetiring: boolean
}

/** Nothing of the kind that a source does not deal in. */
export const NO_PARTS: SourceParts = { roots: [], unusable: undefined, keys: new Map() }
