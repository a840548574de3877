import { DatabaseSync } from 'node:sqlite'
import { pick, type Random } from '../../src/store/testing/random.ts'
import type { Ledger, Question } from './ledger.ts'
import { ask } from './load.ts'
import type { World } from './world.ts'

type Checked = { readonly world: World; readonly ledger: Ledger; readonly random: Random }

/** Of each kind, beside the newest: all of them would take longer with every round. */
const SAMPLE = 12

/** Every refusal that a client was told of stands in the database. */
export function checkRecords({ world, ledger }: Checked): void {
  const database = new DatabaseSync(world.database, { readOnly: true, timeout: 5_000 })
  try {
    const ids = new Set(
      database
        .prepare('SELECT id FROM decision')
        .all()
        .map((row) => row['id']),
    )
    for (const id of ledger.decisions.keys())
      if (!ids.has(id)) ledger.violation(`decision ${id} was told to a client and is not in the database`)
  } finally {
    database.close()
  }
}

/**
 * What was served once is served again, registry and trust repository dead or not; what was refused is not served.
 */
export async function checkServed({ world, ledger, random }: Checked, isLight: boolean): Promise<void> {
  const served: Question[] = [
    ...sample(random, [...ledger.served.values()]).map((image) => ({ kind: 'manifest', image }) as const),
    ...[...ledger.tagPositions.keys()].map((tag) => ({ kind: 'tag', tag }) as const),
    ...sample(random, [...ledger.keptBlobs.values()]).map((blob) => ({ kind: 'blob', blob }) as const),
  ]
  await Promise.all(
    served.map(async (question) => {
      const reply = await ask(world.port, question)
      if (reply.broken) ledger.violation(`${question.kind}: broken off though nobody was killed`)
      // As in light: the registry may be dead, but this needs none.
      ledger.judge(question, reply, true)
    }),
  )
  await checkRefused({ world, ledger, random }, isLight)
}

/** In the light under the same decision as before the crash; in the dark at least not served. */
async function checkRefused({ world, ledger, random }: Checked, isLight: boolean): Promise<void> {
  await Promise.all(
    sample(random, [...ledger.decisions]).map(async ([id, refused]) => {
      const question = { kind: 'refused', refused, by: 'digest' } as const
      const reply = await ask(world.port, question)
      ledger.judge(question, reply, isLight)
      const again = reply.headers['x-portcullis-decision-id']
      if (isLight && again !== id)
        ledger.violation(`${refused.tag} is refused by ${String(again)} where it was ${id} before`)
    }),
  )
}

/** The newest, and some of the others. */
function sample<T>(random: Random, from: readonly T[]): readonly T[] {
  const newest = from.slice(-SAMPLE)
  const others = Array.from({ length: SAMPLE }, () => pick(random, from))
  return [...new Set([...newest, ...others.filter((one) => one !== undefined)])]
}
