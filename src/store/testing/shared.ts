import { join } from 'node:path'
import { openDatabase, type Database } from '../database.ts'
import { createSharedState, type SharedState } from '../shared-state.ts'
import type { StateStoreOptions } from '../state.ts'
import { shareTotals } from '../total.ts'
import { openState, type OpenState } from './state.ts'

export type SharedStore = OpenState & { readonly shared: SharedState }

/** A database in the directory as two processes have it: the first, and one that came after it. */
export function openTwice(
  directory: string,
  options: Partial<StateStoreOptions> = {},
): readonly [SharedStore, SharedStore] {
  const path = join(directory, 'shared.db')
  const first = openDatabase(path, 'first')
  shareTotals(first, true)
  const one = storeOver(first, options)
  return [one, storeOver(openDatabase(path, 'guest'), { ...options, isChecked: true })]
}

function storeOver(database: Database, options: Partial<StateStoreOptions>): SharedStore {
  const opened = openState({ ...options, database })
  const flush = (): void => opened.state.flush()
  return { ...opened, shared: createSharedState(database, { onError: () => undefined, flush }) }
}
