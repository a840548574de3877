import { createTufKey, type TufKey } from './tuf-key.ts'
import {
  rootBytes,
  snapshotBytes,
  targetFileName,
  targetsBytes,
  timestampBytes,
  type DelegationOptions,
  type SignedRole,
  type TargetContents,
  type TopRole,
} from './tuf-metadata.ts'

export type TufRole = TopRole | 'delegated'

export type PublishOptions = {
  /** When the metadata of each role expires. Default: a year from now, the timestamp a week. */
  readonly expires?: Partial<Readonly<Record<TufRole, Date>>>
}

export type PublisherOptions = {
  readonly targets: TargetContents
  readonly delegation?: DelegationOptions
  /** Default true. */
  readonly consistentSnapshot?: boolean
  readonly now: () => Date
} & PublishOptions

const DAY_MS = 86_400_000
const LIFETIME_DAYS = { root: 365, timestamp: 7, snapshot: 365, targets: 365, delegated: 365 } as const
const HOUR_MS = 3_600_000

/** Signs and keeps the files of one TUF repository. Every change is whole: the files are a valid repository after it. */
export class TufPublisher {
  readonly files = new Map<string, Buffer>()
  /** The newest of each. The timestamp starts at 2, so that there is something to roll back to. */
  readonly versions: Record<TufRole, number> = {
    root: 0,
    timestamp: 1,
    snapshot: 0,
    targets: 0,
    delegated: 0,
  }
  readonly #keys: Record<TufRole, TufKey>
  readonly #options: PublisherOptions
  readonly #isConsistent: boolean
  #targets: TargetContents
  #snapshot: Buffer = Buffer.alloc(0)

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#isConsistent = options.consistentSnapshot ?? true
    this.#targets = options.targets
    this.#keys = {
      root: createTufKey(),
      timestamp: createTufKey(),
      snapshot: createTufKey(),
      targets: createTufKey(),
      delegated: createTufKey(),
    }
    this.publishRoot(options)
    this.publish(options.targets, options)
  }

  /** A new version of all but the root. */
  publish(targets: TargetContents = this.#targets, options: PublishOptions = {}): void {
    this.#targets = targets
    const { delegation } = this.#options
    if (delegation !== undefined) {
      this.#putTargets(delegation.targets)
      const role = this.#next('delegated', options)
      const bytes = targetsBytes(role, delegation.targets, { signer: this.#keys.delegated })
      this.files.set(this.#name(delegation.name, role), bytes)
    }
    this.#putTargets(targets)
    const role = this.#next('targets', options)
    const bytes = targetsBytes(role, targets, {
      signer: this.#keys.targets,
      ...(delegation === undefined ? {} : { delegation, delegate: this.#keys.delegated }),
    })
    this.files.set(this.#name('targets', role), bytes)
    this.publishSnapshot(options)
  }

  publishSnapshot(options: PublishOptions = {}): void {
    const role = this.#next('snapshot', options)
    const { delegation } = this.#options
    const versions = {
      targets: this.versions.targets,
      ...(delegation === undefined ? {} : { [delegation.name]: this.versions.delegated }),
    }
    this.#snapshot = snapshotBytes(role, versions, this.#keys.snapshot)
    this.files.set(this.#name('snapshot', role), this.#snapshot)
    this.publishTimestamp(options)
  }

  publishTimestamp(options: PublishOptions = {}): void {
    const role = this.#next('timestamp', options)
    this.files.set('timestamp.json', timestampBytes(role, this.#snapshot, this.#keys.timestamp))
  }

  /** Signed by the keys of the root before it as well, if they were others. */
  publishRoot(options: PublishOptions = {}, previous: TufKey = this.#keys.root): void {
    const role = this.#next('root', options)
    const bytes = rootBytes(role, this.#keys, {
      consistentSnapshot: this.#isConsistent,
      signers: [previous, this.#keys.root],
    })
    this.files.set(`${role.version}.root.json`, bytes)
  }

  /** A new key for the role: a new root that names it, and new versions of what it signs. */
  rotate(role: TufRole, options: PublishOptions = {}): void {
    const previousRoot = this.#keys.root
    this.#keys[role] = createTufKey()
    if (role !== 'delegated') this.publishRoot(options, previousRoot)
    if (role === 'targets' || role === 'delegated') this.publish(this.#targets, options)
    if (role === 'snapshot') this.publishSnapshot(options)
    if (role === 'timestamp') this.publishTimestamp(options)
  }

  /** A timestamp that should not be believed; the repository does not change. */
  falseTimestamp(kind: 'expired' | 'rollback' | 'wrong-signature'): Buffer {
    const { timestamp } = this.versions
    const nowMs = this.#options.now().getTime()
    const later = new Date(nowMs + DAY_MS)
    switch (kind) {
      case 'expired':
        return this.#timestampOf({ version: timestamp + 1, expires: new Date(nowMs - HOUR_MS) })
      case 'rollback':
        return this.#timestampOf({ version: timestamp - 1, expires: later })
      case 'wrong-signature':
        return timestampBytes({ version: timestamp + 1, expires: later }, this.#snapshot, createTufKey())
    }
  }

  #timestampOf(role: SignedRole): Buffer {
    return timestampBytes(role, this.#snapshot, this.#keys.timestamp)
  }

  #next(role: TufRole, { expires = {} }: PublishOptions): SignedRole {
    this.versions[role] += 1
    const lifetimeMs = LIFETIME_DAYS[role] * DAY_MS
    return {
      version: this.versions[role],
      expires: expires[role] ?? new Date(this.#options.now().getTime() + lifetimeMs),
    }
  }

  #name(role: string, { version }: SignedRole): string {
    return this.#isConsistent ? `${version}.${role}.json` : `${role}.json`
  }

  #putTargets(targets: TargetContents): void {
    for (const [path, content] of Object.entries(targets)) {
      const bytes = Buffer.from(content)
      this.files.set(targetFileName(path, bytes, this.#isConsistent), bytes)
    }
  }
}
