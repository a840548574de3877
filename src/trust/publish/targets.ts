import type { TargetFile } from '@tufjs/models'
import { PublishError } from './error.ts'
import { createKeyring, type OpenSigner } from './keyring.ts'
import { targetPath } from './layout.ts'
import { readLostKeys } from './lost-keys.ts'
import { makeRelease, type TargetSet } from './release.ts'
import type { Repository } from './repository.ts'
import { checkTarget, targetFile, type Target } from './target-input.ts'
import { verifyForRelease, type Release } from './verify-repository.ts'

export type ReleaseIo = {
  readonly now: Date
  readonly open: OpenSigner
  readonly warn: (line: string) => void
}

export type TargetsInput = ReleaseIo & {
  /** Each takes the place of a target of its name. */
  readonly add: readonly Target[]
  readonly remove: readonly string[]
  /** For what runs daily: leaves everything as it is where no target changes and they are not half way to their end. */
  readonly onlyIfDue?: boolean
  /** No version below this one; see `ReleaseInput`. */
  readonly versionMin?: number | undefined
}

/**
 * Publishes targets, snapshot and timestamp. False where nothing was due. Throws PublishError; then nothing has changed for
 * any client.
 */
export async function publishTargets(repository: Repository, input: TargetsInput): Promise<boolean> {
  const { release } = verifyForRelease(repository.files)
  const before = release?.targets.signed.targets ?? {}
  const targets = changeTargets(before, input)
  const isSame =
    targets.contents.every(({ path }) => repository.files.has(path)) && isEqual(before, targets.listed)
  const lifetimeMs = repository.initialized().lifetimesMs.targets
  if (input.onlyIfDue === true && isSame && !isHalfWay(release, input.now, lifetimeMs)) return false
  await publishRelease(repository, input, { targets, versionMin: input.versionMin })
  return true
}

/** Signs the timestamp anew, and the snapshot where it would end before it. Throws like `publishTargets`. */
export async function publishTimestamp(
  repository: Repository,
  input: ReleaseIo & { readonly lifetimeMs?: number | undefined },
): Promise<void> {
  if (verifyForRelease(repository.files).release === undefined) {
    const advice = 'portcullis trust publish targets --add NAME=FILE'
    throw new PublishError('conflict', `no targets are published yet: ${advice}`)
  }
  await publishRelease(repository, input, { timestampLifetimeMs: input.lifetimeMs })
}

type Change = {
  readonly targets?: TargetSet
  readonly versionMin?: number | undefined
  readonly timestampLifetimeMs?: number | undefined
}

async function publishRelease(repository: Repository, io: ReleaseIo, change: Change): Promise<void> {
  const { root, release } = verifyForRelease(repository.files)
  const state = repository.initialized()
  const { now, open, warn } = io
  const lost = await readLostKeys(repository, root)
  const lifetimes = state.lifetimesMs
  const writes = await makeRelease({
    files: repository.files,
    current: release,
    roots: [root],
    targets: change.targets,
    lifetimes: { ...lifetimes, timestamp: change.timestampLifetimeMs ?? lifetimes.timestamp },
    now,
    sign: createKeyring({ state, lost, roots: [root], open, warn }),
    versionMin: change.versionMin,
  })
  await repository.publish(writes, { now })
}

type Listed = Readonly<Record<string, TargetFile>>

function changeTargets(before: Listed, { add, remove }: TargetsInput): TargetSet {
  const listed = new Map(Object.entries(before))
  for (const name of remove) {
    if (!listed.delete(name)) throw new PublishError('usage', `--remove ${name}: no target has that name`)
  }
  for (const target of add) {
    checkTarget(target)
    listed.set(target.name, targetFile(target))
  }
  if (listed.size === 0) throw new PublishError('usage', 'no target would be left; --add NAME=FILE')
  const contents = add.map((target) => ({ path: targetPath(targetFile(target)), bytes: target.bytes }))
  return { listed: Object.fromEntries(listed), contents }
}

function isEqual(a: Listed, b: Listed): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...names].every((name) => {
    const target = a[name]
    return target !== undefined && b[name]?.equals(target) === true
  })
}

function isHalfWay(release: Release | undefined, now: Date, lifetimeMs: number): boolean {
  const expires = Date.parse(release?.targets.signed.expires ?? '')
  return !(expires - now.getTime() > lifetimeMs / 2)
}
