import type { Key, Metadata, Root } from '@tufjs/models'
import { PublishError } from './error.ts'
import { shortId } from './key.ts'
import type { OpenSigner } from './keyring.ts'
import { rootPath } from './layout.ts'
import { withoutGivenUp } from './lost-keys.ts'
import { encode, expiryAfter, ONLINE_ROLES, type OnlineRole, type RoleName } from './metadata.ts'
import type { Repository } from './repository.ts'
import { buildRoot, findKey, plannedKeys, rolesOf, succeededRoles, thresholdOf } from './root.ts'
import type { SignerEntry, State } from './state.ts'
import { verifyRoots } from './verify-repository.ts'

export type RotateInput = {
  readonly addRootKeys: readonly Key[]
  /** Key IDs or their first characters. */
  readonly removeRootKeys: readonly string[]
  /** Undefined: as before. */
  readonly threshold?: number | undefined
  /** References of new online keys. */
  readonly signers: Readonly<Partial<Record<OnlineRole, string>>>
  /** How long the keys that these follow stay listed beside them; 0 takes them out at once. */
  readonly overlapMs: number
  /** Online keys whose window has ended. */
  readonly retire: readonly string[]
  /** Online keys that are lost or stolen: out at once, and never asked to sign again. */
  readonly lost: readonly string[]
  /** Undefined: as the repository says. */
  readonly rootLifetimeMs?: number | undefined
  readonly now: Date
  readonly open: OpenSigner
}

/**
 * Stages the next version of the root, unsigned, beside the one before it, whose keys must sign it too. Returns the staged
 * file's path. Throws PublishError `conflict` where one is staged already.
 */
export async function rotateRoot(repository: Repository, input: RotateInput): Promise<string> {
  const before = repository.initialized()
  const root = verifyRoots(repository.files).at(-1)
  if (root === undefined) throw new PublishError('conflict', 'version 1 of the root is not published yet')
  const version = root.signed.version + 1
  const name = rootPath(version)
  if ((await repository.readStaged(name)) !== undefined) {
    const path = repository.stagedPath(name)
    throw new PublishError('conflict', `${path} is staged already; sign it, or remove it to start again`)
  }
  const state = withoutGivenUp(before, root)
  const plan = await planKeys(root, state, input)
  const next = buildRoot({
    version,
    expires: expiryAfter(input.now, input.rootLifetimeMs ?? state.lifetimesMs.root),
    threshold: input.threshold ?? thresholdOf(root),
    keys: plan.keys,
  })
  await repository.saveState({ ...state, signers: { ...state.signers, ...plan.signers } })
  await repository.unstage()
  await repository.stage(rootPath(root.signed.version), encode(root))
  await repository.stage(name, encode(next))
  return repository.stagedPath(name)
}

type Plan = {
  readonly keys: Record<RoleName, readonly Key[]>
  readonly signers: Readonly<Record<string, SignerEntry>>
}

async function planKeys(root: Metadata<Root>, state: State, input: RotateInput): Promise<Plan> {
  const keys = plannedKeys(root)
  const signers: Record<string, SignerEntry> = {}
  keys.root = withRootKeys(root, input)
  const retiring = input.retire.map((prefix) => retirable(root, state, { prefix, now: input.now }))
  const lost = input.lost.map((prefix) => onlineKey(root, prefix).keyID)
  for (const keyId of lost) {
    const known = state.signers[keyId]
    if (known !== undefined) signers[keyId] = { ...known, isLost: true }
  }
  for (const role of ONLINE_ROLES) {
    // A key that serves two roles is retired from those that have a new one.
    const leaves = ({ keyID }: Key) =>
      lost.includes(keyID) || (retiring.includes(keyID) && succeededRoles(root, keyID).includes(role))
    keys[role] = keys[role].filter((key) => !leaves(key))
    const reference = input.signers[role]
    if (reference === undefined) continue
    const { key } = await input.open(reference)
    const old = keys[role].filter(({ keyID }) => keyID !== key.keyID)
    keys[role] = [key, ...(input.overlapMs > 0 ? old : [])]
    signers[key.keyID] = { reference }
    Object.assign(signers, withWindow(old, state, input))
  }
  return { keys, signers }
}

/** When each of these keys, now followed by another, may be retired. */
function withWindow(old: readonly Key[], state: State, { now, overlapMs }: RotateInput): Plan['signers'] {
  const retireAfter = new Date(now.getTime() + overlapMs).toISOString()
  const entries = old.flatMap(({ keyID }) => {
    const known = state.signers[keyID]
    return known === undefined ? [] : [[keyID, { ...known, retireAfter }] as const]
  })
  return Object.fromEntries(entries)
}

function withRootKeys(root: Metadata<Root>, { addRootKeys, removeRootKeys }: RotateInput): readonly Key[] {
  const removed = new Set(removeRootKeys.map((prefix) => findKey(root, prefix).keyID))
  const stays = plannedKeys(root).root.filter(({ keyID }) => !removed.has(keyID))
  return [...stays, ...addRootKeys]
}

function onlineKey(root: Metadata<Root>, prefix: string): Key {
  const key = findKey(root, prefix)
  if (rolesOf(root, key.keyID).length > 0) return key
  throw new PublishError('usage', `key ${shortId(key.keyID)} is a root key: --remove-root-key takes it out`)
}

function retirable(root: Metadata<Root>, state: State, which: { prefix: string; now: Date }): string {
  const { keyID } = onlineKey(root, which.prefix)
  const retireAfter = state.signers[keyID]?.retireAfter
  if (retireAfter === undefined || succeededRoles(root, keyID).length === 0) {
    throw new PublishError(
      'usage',
      `key ${shortId(keyID)} has no successor; rotate-root --ROLE-key gives it one`,
    )
  }
  if (which.now.getTime() >= Date.parse(retireAfter)) return keyID
  throw new PublishError(
    'conflict',
    `key ${shortId(keyID)} stays until ${retireAfter}; only a lost or stolen key goes before that: --lost`,
  )
}
