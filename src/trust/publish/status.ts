import type { Metadata, Root } from '@tufjs/models'
import { reasonOf } from './error.ts'
import { highestVersion, rootPath } from './layout.ts'
import { readLostKeys } from './lost-keys.ts'
import { readRoot, type RoleName } from './metadata.ts'
import type { Repository } from './repository.ts'
import { keysOf, rolesOf, succeededRoles, thresholdOf } from './root.ts'
import { countSignatures, type SignatureCount } from './sign-root.ts'
import type { State } from './state.ts'
import { expiries, verifyRepository, verifyRoots, type Expiry, type Verified } from './verify-repository.ts'

export type RoleStatus = Expiry & {
  /** Whole days; negative once it has ended. */
  readonly daysLeft: number
  readonly keyIds: readonly string[]
  readonly threshold: number
}

export type Status = {
  readonly roles: readonly RoleStatus[]
  /** A root that waits for signatures. */
  readonly staged: { readonly version: number; readonly counts: readonly SignatureCount[] } | undefined
  /** What must be done, most urgent first. */
  readonly due: readonly string[]
}

const DAY_MS = 24 * 3600 * 1000
/** A ceremony takes people and a date. */
const ROOT_NOTICE_MS = 60 * DAY_MS
const TARGETS_NOTICE_MS = 30 * DAY_MS

const PUBLISH = 'portcullis trust publish'

/** Looks at everything and changes nothing. Throws PublishError `usage` before `init`. */
export async function readStatus(repository: Repository, now: Date): Promise<Status> {
  const state = repository.initialized()
  const roots = verifyRoots(repository.files)
  const staged = await readStaged(repository, roots.at(-1))
  const waiting = staged === undefined ? [] : stagedAdvice(staged)
  const root = roots.at(-1)
  if (root === undefined) {
    return { roles: [], staged, due: staged === undefined ? [`no root is staged: ${PUBLISH} init`] : waiting }
  }
  let verified: Verified
  try {
    verified = verifyRepository(repository.files)
  } catch (error) {
    const due = [`clients refuse this repository (${reasonOf(error)}): ${PUBLISH} timestamp`, ...waiting]
    return { roles: rolesStatus({ root, roots, release: undefined }, now), staged, due }
  }
  const roles = rolesStatus(verified, now)
  const due = [
    ...roles.flatMap((role) => roleAdvice(role, { state, now })),
    ...(verified.release === undefined
      ? [`no targets are published: ${PUBLISH} targets --add NAME=FILE`]
      : []),
    ...waiting,
    ...retirements(root, { state, lost: await readLostKeys(repository, root), now }),
  ]
  return { roles, staged, due }
}

function rolesStatus(verified: Verified, now: Date): readonly RoleStatus[] {
  return expiries(verified).map((expiry) => ({
    ...expiry,
    daysLeft: Math.floor((expiry.expires.getTime() - now.getTime()) / DAY_MS),
    keyIds: keysOf(verified.root, expiry.role).map(({ keyID }) => keyID),
    threshold: expiry.role === 'root' ? thresholdOf(verified.root) : 1,
  }))
}

const RENEWAL: Readonly<Record<RoleName, string>> = {
  root: `${PUBLISH} rotate-root`,
  targets: `${PUBLISH} targets`,
  snapshot: `${PUBLISH} timestamp`,
  timestamp: `${PUBLISH} timestamp`,
}

function roleAdvice(
  { role, expires }: RoleStatus,
  { state, now }: { readonly state: State; readonly now: Date },
): readonly string[] {
  const leftMs = expires.getTime() - now.getTime()
  const noticeMs: Readonly<Record<RoleName, number>> = {
    root: ROOT_NOTICE_MS,
    targets: Math.min(TARGETS_NOTICE_MS, state.lifetimesMs.targets / 2),
    // The daily run makes a new snapshot before it matters.
    snapshot: 0,
    // Half of it gone means that the daily run has failed for days.
    timestamp: state.lifetimesMs.timestamp / 2,
  }
  if (leftMs <= 0) return [`${role} has ended and clients refuse this repository: ${RENEWAL[role]}`]
  if (leftMs > noticeMs[role]) return []
  return [`${role} ends on ${expires.toISOString()}: ${RENEWAL[role]}`]
}

async function readStaged(
  repository: Repository,
  previous: Metadata<Root> | undefined,
): Promise<Status['staged']> {
  const version = highestVersion(await repository.stagedFiles(), 'root')
  if (version <= (previous?.signed.version ?? 0)) return undefined
  const bytes = await repository.readStaged(rootPath(version))
  if (bytes === undefined) return undefined
  const path = repository.stagedPath(rootPath(version))
  return { version, counts: countSignatures({ path, root: readRoot(path, bytes), previous }) }
}

function stagedAdvice({ version, counts }: NonNullable<Status['staged']>): readonly string[] {
  const short = counts.filter(({ signed, threshold }) => signed.length < threshold)
  if (short.length === 0) return [`root ${version} is signed and not published: ${PUBLISH} sign-root`]
  const needs = short.map(
    ({ by, signed, threshold }) => `${threshold - signed.length} more of the keys of version ${by}`,
  )
  return [`root ${version} needs ${needs.join(' and ')}: ${PUBLISH} sign-root`]
}

type Held = { readonly state: State; readonly lost: ReadonlySet<string>; readonly now: Date }

function retirements(root: Metadata<Root>, { state, lost, now }: Held): readonly string[] {
  return Object.entries(state.signers).flatMap(([id, { retireAfter }]) => {
    const roles = succeededRoles(root, id)
    if (lost.has(id) && rolesOf(root, id).length > 0)
      return [`key ${id} is lost and still listed: ${PUBLISH} sign-root`]
    if (roles.length === 0 || retireAfter === undefined || now.getTime() < Date.parse(retireAfter)) return []
    const role = roles.join(', ')
    return [`the window of ${role} key ${id} has ended: ${PUBLISH} rotate-root --retire ${id.slice(0, 8)}`]
  })
}
