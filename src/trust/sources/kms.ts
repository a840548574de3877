import { keyInventoryOf } from '../inventory.ts'
import type { KmsKeys, KmsKeyStatus } from '../kms/kms-keys.ts'
import {
  NO_PARTS,
  type SourceParts,
  type SourceState,
  type SourceStatus,
  type TrustSource,
} from '../source.ts'

/** Keys that a KMS holds, all of them as one source. */
export class KmsSource implements TrustSource {
  readonly name = 'kms'
  readonly refreshEveryMs: number
  readonly #keys: KmsKeys

  constructor(keys: KmsKeys, refreshEveryMs: number) {
    this.#keys = keys
    this.refreshEveryMs = refreshEveryMs
  }

  parts(): SourceParts {
    return { ...NO_PARTS, keys: this.#keys.sets() }
  }

  async refresh(signal: AbortSignal): Promise<void> {
    await this.#keys.refresh(signal)
  }

  status(): SourceStatus {
    const sets = [...this.#keys.sets()]
    const keys = this.#keys.status()
    const current = keys.flatMap((key) => key.current ?? [])
    const [worst] = keys
      .map((key) => ({ state: stateOf(key), problem: key.problem }))
      .toSorted((a, b) => rankOf(b) - rankOf(a))
    return {
      name: this.name,
      kind: 'kms',
      origin: sets.map(([reference]) => reference).join(', '),
      state: worst?.state ?? 'fresh',
      problem: worst?.problem,
      // Of several keys the one that was confirmed longest ago: it is the first to be missing.
      renewedAt: earliest(current.map(({ fetchedAt }) => fetchedAt)),
      warnsAt: undefined,
      stopsAt: earliest(current.map(({ stopsAt }) => stopsAt)),
      documents: [],
      roles: [],
      servableUntil: undefined,
      held: sets.flatMap(([reference, set]) => keyInventoryOf(reference, set)),
    }
  }
}

/** A key that is gone needs somebody to look while the overlap lasts: what it signed counts no more after it. */
function stateOf({ state, retiring }: KmsKeyStatus): SourceState {
  if (state === 'held') return 'fresh'
  return state === 'gone' && retiring.length > 0 ? 'stale' : 'unusable'
}

/** The last problem of a key that is held is shown before none at all. */
function rankOf({ state, problem }: Pick<SourceStatus, 'state' | 'problem'>): number {
  return { fresh: 0, stale: 2, unusable: 4 }[state] + (problem === undefined ? 0 : 1)
}

function earliest(times: readonly Date[]): Date | undefined {
  return times.toSorted((a, b) => a.getTime() - b.getTime())[0]
}
