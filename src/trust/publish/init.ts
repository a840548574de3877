import type { Key } from '@tufjs/models'
import { PublishError } from './error.ts'
import type { OpenSigner } from './keyring.ts'
import { highestVersion, rootPath } from './layout.ts'
import { encode, expiryAfter, ONLINE_ROLES, type OnlineRole } from './metadata.ts'
import type { Repository } from './repository.ts'
import { buildRoot } from './root.ts'
import type { Lifetimes, SignerEntry } from './state.ts'

export type InitInput = {
  readonly rootKeys: readonly Key[]
  readonly threshold: number
  /** For `OpenSigner`; one reference may serve several roles. */
  readonly signers: Readonly<Record<OnlineRole, string>>
  readonly lifetimes: Lifetimes
  readonly now: Date
  readonly open: OpenSigner
}

/**
 * Stages version 1 of the root, unsigned, for the ceremony; nothing is served yet. Returns the staged file's path. Throws
 * PublishError `conflict` where a root is staged or published already.
 */
export async function initRepository(repository: Repository, input: InitInput): Promise<string> {
  const staged = await repository.stagedFiles()
  if (highestVersion([...repository.files.keys(), ...staged], 'root') > 0) {
    throw new PublishError(
      'conflict',
      `${repository.directory} has a root already; changes to it are made by rotate-root`,
    )
  }
  const keys = { root: input.rootKeys, ...(await openAll(input)) }
  const root = buildRoot({
    version: 1,
    expires: expiryAfter(input.now, input.lifetimes.root),
    threshold: input.threshold,
    keys: {
      root: keys.root,
      targets: [keys.targets],
      snapshot: [keys.snapshot],
      timestamp: [keys.timestamp],
    },
  })
  const entries = ONLINE_ROLES.map((role): [string, SignerEntry] => [
    keys[role].keyID,
    { reference: input.signers[role] },
  ])
  await repository.saveState({
    format: 1,
    lifetimesMs: input.lifetimes,
    signers: Object.fromEntries(entries),
    lastWrite: input.now.toISOString(),
  })
  await repository.stage(rootPath(1), encode(root))
  return repository.stagedPath(rootPath(1))
}

/** Opened now, so that a key that cannot sign is found before the ceremony and not after it. */
async function openAll({ signers, open }: InitInput): Promise<Record<OnlineRole, Key>> {
  const { key: targets } = await open(signers.targets)
  const { key: snapshot } = await open(signers.snapshot)
  const { key: timestamp } = await open(signers.timestamp)
  return { targets, snapshot, timestamp }
}
