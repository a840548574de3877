import { Metadata, Root, type Key } from '@tufjs/models'
import { PublishError } from './error.ts'
import { KEY_ID_PREFIX_CHARACTERS, shortId } from './key.ts'
import { ONLINE_ROLES, SPEC_VERSION, type OnlineRole, type RoleName } from './metadata.ts'

/** A root as people decide on it. */
export type RootPlan = {
  readonly version: number
  /** As metadata writes it. */
  readonly expires: string
  readonly keys: Readonly<Record<RoleName, readonly Key[]>>
  /** How many of the root keys must sign; each online role needs one. */
  readonly threshold: number
}

const ROLES = ['root', ...ONLINE_ROLES] as const

/** The unsigned root. Throws PublishError `key` or `usage` where it would not protect what it should. */
export function buildRoot({ version, expires, keys, threshold }: RootPlan): Metadata<Root> {
  checkPlan(keys, threshold)
  const rootKeys = new Map(ROLES.flatMap((role) => keys[role].map((key) => [key.keyID, key] as const)))
  const role = (name: RoleName) => ({
    keyids: keys[name].map(({ keyID }) => keyID),
    threshold: name === 'root' ? threshold : 1,
  })
  // From JSON, because the class that holds a role is not exported.
  const root = Root.fromJSON({
    spec_version: SPEC_VERSION,
    version,
    expires,
    consistent_snapshot: true,
    keys: Object.fromEntries([...rootKeys].map(([id, key]) => [id, key.toJSON()])),
    roles: {
      root: role('root'),
      targets: role('targets'),
      snapshot: role('snapshot'),
      timestamp: role('timestamp'),
    },
  })
  return new Metadata(root)
}

function checkPlan(keys: RootPlan['keys'], threshold: number): void {
  for (const role of ROLES) {
    const ids = keys[role].map(({ keyID }) => keyID)
    const twice = ids.find((id, index) => ids.indexOf(id) !== index)
    if (twice !== undefined) throw new PublishError('key', `key ${shortId(twice)} is given twice for ${role}`)
    if (ids.length === 0) throw new PublishError('usage', `role ${role} would have no key`)
  }
  const online = new Set(ONLINE_ROLES.flatMap((role) => keys[role].map(({ keyID }) => keyID)))
  const both = keys.root.find(({ keyID }) => online.has(keyID))
  if (both !== undefined) {
    throw new PublishError(
      'key',
      `key ${shortId(both.keyID)} is a root key and an online key at once; root keys stay offline, so make another`,
    )
  }
  if (!Number.isSafeInteger(threshold) || threshold < 1 || threshold > keys.root.length) {
    throw new PublishError(
      'usage',
      `a threshold of ${threshold} does not fit ${keys.root.length} root keys; give 1 to ${keys.root.length}`,
    )
  }
}

/** The keys of a role. */
export function keysOf({ signed }: Metadata<Root>, role: RoleName): readonly Key[] {
  return (signed.roles[role]?.keyIDs ?? []).flatMap((id) => signed.keys[id] ?? [])
}

export function thresholdOf({ signed }: Metadata<Root>): number {
  return signed.roles['root']?.threshold ?? 1
}

export function plannedKeys(root: Metadata<Root>): Record<RoleName, readonly Key[]> {
  return {
    root: keysOf(root, 'root'),
    targets: keysOf(root, 'targets'),
    snapshot: keysOf(root, 'snapshot'),
    timestamp: keysOf(root, 'timestamp'),
  }
}

/** The one key of the root whose ID starts with `prefix`. Throws PublishError `usage` where there is none or several. */
export function findKey({ signed }: Metadata<Root>, prefix: string): Key {
  if (prefix.length < KEY_ID_PREFIX_CHARACTERS) {
    throw new PublishError(
      'usage',
      `${prefix} is too short; give ${KEY_ID_PREFIX_CHARACTERS} characters of a key's ID`,
    )
  }
  const found = Object.values(signed.keys).filter(({ keyID }) => keyID.startsWith(prefix))
  const [key] = found
  if (key === undefined || found.length > 1) {
    throw new PublishError('usage', `${found.length} keys of root ${signed.version} start with ${prefix}`)
  }
  return key
}

/** The online roles that list the key. */
export function rolesOf(root: Metadata<Root>, keyId: string): readonly OnlineRole[] {
  return ONLINE_ROLES.filter((role) => keysOf(root, role).some(({ keyID }) => keyID === keyId))
}

/** The online roles that list the key behind its successor: a role's newest key comes first. */
export function succeededRoles(root: Metadata<Root>, keyId: string): readonly OnlineRole[] {
  return rolesOf(root, keyId).filter((role) => keysOf(root, role)[0]?.keyID !== keyId)
}
