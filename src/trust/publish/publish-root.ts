import type { Metadata, Root } from '@tufjs/models'
import { PublishError } from './error.ts'
import { createKeyring, type OpenSigner } from './keyring.ts'
import { rootPath } from './layout.ts'
import { lostKeys } from './lost-keys.ts'
import { encode, ONLINE_ROLES, type RoleName } from './metadata.ts'
import { makeRelease } from './release.ts'
import type { Repository, Write } from './repository.ts'
import { keysOf } from './root.ts'
import { countSignatures, isComplete, type StagedRoot } from './sign-root.ts'
import { expiries, isSignedBy, verifyRepository, verifyRoots, type Release } from './verify-repository.ts'

export type PublishRootInput = {
  readonly staged: StagedRoot
  readonly now: Date
  readonly open: OpenSigner
  readonly warn: (line: string) => void
}

/**
 * Publishes a root that enough keys have signed. Where it takes a key away from the release that is served, a release that
 * both roots accept goes out first, so that no client meets a state that it refuses. Only where that key is lost is there
 * nothing both accept: then root and timestamp go out one right after the other.
 */
export async function publishRoot(repository: Repository, input: PublishRootInput): Promise<void> {
  const { staged, now } = input
  if (!isComplete(staged)) {
    const short = countSignatures(staged).map(
      ({ by, signed, threshold }) => `${signed.length} of ${threshold} of version ${by}`,
    )
    throw new PublishError('signatures', `too few signatures: ${short.join(', ')}`)
  }
  const { root } = staged
  const write: Write = { path: rootPath(root.signed.version), bytes: encode(root) }
  const before = verifyRoots(repository.files).at(-1)
  if (before === undefined) {
    await repository.publish([write], { now })
  } else if (before.signed.version < root.signed.version) {
    await publishNext(repository, { ...input, write, before })
  }
  // Where the version is published already, a run was killed before it got here.
  await repository.unstage()
}

type Transition = PublishRootInput & { readonly write: Write; readonly before: Metadata<Root> }

async function publishNext(repository: Repository, transition: Transition): Promise<void> {
  const { staged, write, before, now, open, warn } = transition
  const verified = verifyRepository(repository.files)
  const { release } = verified
  const ended = expiries(verified).filter(({ expires }) => expires.getTime() <= now.getTime())
  const hasEnded = (role: RoleName) => ended.some((expiry) => expiry.role === role)
  // An ended root is what this one replaces; anything else that has ended while nobody looked is renewed with it.
  const isCurrent = !ONLINE_ROLES.some(hasEnded)
  if (release === undefined || (isCurrent && isReleaseAccepted(staged.root, release))) {
    await repository.publish([write], { now })
    return
  }
  const state = repository.initialized()
  const lost = lostKeys(state, { published: before, staged: staged.root })
  const isBridged = ONLINE_ROLES.every((role) => keysOf(before, role).some(({ keyID }) => !lost.has(keyID)))
  const roots = isBridged ? [before, staged.root] : [staged.root]
  const writes = await makeRelease({
    files: repository.files,
    current: release,
    roots,
    targets: hasEnded('targets') ? { listed: release.targets.signed.targets, contents: [] } : undefined,
    lifetimes: state.lifetimesMs,
    now,
    sign: createKeyring({ state, lost, roots, open, warn }),
  })
  if (isBridged) {
    await repository.publish([...writes, write], { now })
    return
  }
  warn('a key is lost: a client that comes between the next two files fails once and succeeds the next time')
  await repository.publish([...writes.slice(0, -1), write, ...writes.slice(-1)], { now, allowsGap: true })
}

function isReleaseAccepted(root: Metadata<Root>, release: Release): boolean {
  return ONLINE_ROLES.every((role) => isSignedBy(root, role, release[role]))
}
