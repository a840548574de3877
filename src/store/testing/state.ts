import { digestOf, type Digest } from '../../oci/digest.ts'
import { parseRepository, type Repository } from '../../oci/reference.ts'
import { openDatabase, type Database } from '../database.ts'
import type { StoreError } from '../error.ts'
import { createStateStore, type StateStoreOptions } from '../state.ts'
import type { StateStore } from '../types.ts'

export function digest(name: string): Digest {
  return digestOf(Buffer.from(name))
}

export function repository(name: string): Repository {
  const parsed = parseRepository('ghcr.io', name)
  if (parsed === undefined) throw new TypeError(`no repository: ${name}`)
  return parsed
}

export type OpenState = {
  readonly state: StateStore
  readonly database: Database
  readonly errors: readonly StoreError[]
  readonly clock: { ms: number }
}

/** A state store over a database in memory, or over the one given, with a clock that stands still. */
export function openState(setup: Partial<StateStoreOptions> & { database?: Database } = {}): OpenState {
  const { database = openDatabase(':memory:'), ...options } = setup
  const errors: StoreError[] = []
  const clock = { ms: 1_000_000 }
  const now = () => new Date(clock.ms)
  const state = createStateStore(database, { now, onError: (error) => errors.push(error), ...options })
  return { state, database, errors, clock }
}

/** Every write fails until the function returned is called. */
export function refuseWrites(database: Database): () => void {
  database.exec('PRAGMA query_only = ON')
  return () => database.exec('PRAGMA query_only = OFF')
}

export function rowCount(database: Database, table: string): number {
  return Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'])
}
