import type { Metadata, Root } from '@tufjs/models'
import { rootPath } from './layout.ts'
import { readRoot } from './metadata.ts'
import type { Repository } from './repository.ts'
import { rolesOf } from './root.ts'
import type { State } from './state.ts'

export type RootsInHand = {
  /** The newest that is served. */
  readonly published: Metadata<Root>
  /** The next, which waits for signatures. */
  readonly staged: Metadata<Root> | undefined
}

/**
 * IDs of the keys that are asked for no signature. That somebody called a key lost counts as long as a root takes it out,
 * be it published or staged: where the staged one was given up, the key is as good as before.
 */
export function lostKeys({ signers }: State, { published, staged }: RootsInHand): ReadonlySet<string> {
  const lost = Object.keys(signers).filter((id) => signers[id]?.isLost === true)
  return new Set(lost.filter((id) => !lists(published, id) || (staged !== undefined && !lists(staged, id))))
}

/** `lostKeys` with what is staged now. Throws PublishError `invalid` where that cannot be read. */
export async function readLostKeys(
  repository: Repository,
  published: Metadata<Root>,
): Promise<ReadonlySet<string>> {
  const name = rootPath(published.signed.version + 1)
  const bytes = await repository.readStaged(name)
  const staged = bytes === undefined ? undefined : readRoot(repository.stagedPath(name), bytes)
  return lostKeys(repository.initialized(), { published, staged })
}

/** What a new root starts from: nothing is left of one that was given up. */
export function withoutGivenUp(state: State, published: Metadata<Root>): State {
  const signers = Object.entries(state.signers).map(([id, { isLost, ...entry }]) => {
    const stays = isLost === true && !lists(published, id)
    return [id, stays ? { ...entry, isLost } : entry] as const
  })
  return { ...state, signers: Object.fromEntries(signers) }
}

function lists(root: Metadata<Root>, id: string): boolean {
  return rolesOf(root, id).length > 0
}
