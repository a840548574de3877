import { join } from 'node:path'
import { writeFileAtomically } from '../../store/atomic-file.ts'
import type { TrustRoot } from '../../verify/types.ts'
import { inventoryOf } from '../inventory.ts'
import { readIfThere } from './read-if-there.ts'

const FILE = 'first-seen'

/** When the document was made, at the earliest: the last time at which something of it began. */
function madeAt(root: TrustRoot): Date {
  return new Date(Math.max(...inventoryOf(root).map(({ from }) => from?.getTime() ?? 0)))
}

/**
 * Since when this installation has believed the built-in root: its age counts from there. A clock that was ahead when
 * that was written down is corrected; one from before the root was made is not set yet, and nothing it says is kept.
 */
export async function firstSeen(directory: string, root: TrustRoot, now: Date): Promise<Date> {
  const path = join(directory, FILE)
  const made = madeAt(root)
  const stored = new Date((await readIfThere(path))?.toString('utf8').trim() ?? '')
  const isRight = !Number.isNaN(stored.getTime()) && stored >= made
  if (now < made) return isRight ? stored : made
  if (isRight && stored <= now) return stored
  await writeFileAtomically(path, Buffer.from(`${now.toISOString()}\n`))
  return now
}
