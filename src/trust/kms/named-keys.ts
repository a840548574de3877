import { parseKmsReference, type KmsReference } from '../../policy/kms-reference.ts'
import type { TrustKeeper } from '../keeper.ts'
import { KmsSource } from '../sources/kms.ts'
import { TrustError } from '../trust-error.ts'
import { endpointProblem } from './kms-endpoint.ts'
import type { KmsKeys } from './kms-keys.ts'

type Settings = { readonly endpoints: readonly string[]; readonly refreshEveryMs: number }

/** The keys that policies name and that somebody must be asked for: more and fewer while the proxy runs. */
export class NamedKeys {
  readonly #keeper: Pick<TrustKeeper, 'add' | 'look'>
  readonly #keys: KmsKeys
  readonly #settings: Settings
  #isSource = false

  constructor(keeper: Pick<TrustKeeper, 'add' | 'look'>, keys: KmsKeys, settings: Settings) {
    this.#keeper = keeper
    this.#keys = keys
    this.#settings = settings
  }

  /**
   * These too, in the snapshot that is the newest when it resolves. A key that cannot be had is in it as missing; KMS is
   * only asked where there is a signal. Rejects with TrustError `refused` where a reference must not be followed, and
   * then nothing has changed.
   */
  async add(references: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const parsed = kmsReferencesIn(references)
    for (const reference of parsed) {
      const problem = endpointProblem(reference, this.#settings.endpoints)
      if (problem !== undefined) throw new TrustError('refused', problem)
    }
    if (parsed.length === 0) return
    await this.#keys.add(parsed, signal)
    // A source without keys would only be noise to whoever looks at the trust of a proxy that has none.
    if (!this.#isSource) this.#keeper.add(new KmsSource(this.#keys, this.#settings.refreshEveryMs))
    this.#isSource = true
    this.#keeper.look()
  }

  /** None but these. */
  keep(references: readonly string[]): void {
    this.#keys.keep(new Set(kmsReferencesIn(references).map(({ text }) => text)))
    this.#keeper.look()
  }
}

/** Others (`keys:NAME`) stand for what the configuration has. */
function kmsReferencesIn(references: readonly string[]): readonly KmsReference[] {
  return references.flatMap((text) => {
    const result = parseKmsReference(text)
    return result.ok ? [result.reference] : []
  })
}
