import type { Epoch } from './epoch.ts'
import { createLru } from './lru.ts'
import type { Judgement, PolicyResult, Verdict } from './policy/types.ts'
import type { Signer } from './verify/types.ts'

/** Ways to be satisfied: one for each policy and signer, some 2 KiB. */
const SHARED_MAX = 10_000

/**
 * What judgements have in common, kept once: a hundred thousand images that few have signed are satisfied in few ways, and
 * the proofs of a verdict weigh many times what the verdict does.
 */
export class SharedResults {
  readonly #known = createLru<string, readonly PolicyResult[]>(SHARED_MAX)

  /** The same without proofs, an object of its own: what follows from a judgement is remembered by the object. */
  of(judgement: Judgement, { key }: Pick<Epoch, 'key'>): Judgement {
    const results = judgement.results.map((result) => ({ ...result, verdict: withoutProofs(result.verdict) }))
    if (!results.every(({ verdict }) => isLasting(verdict))) return { results }
    const name = JSON.stringify([key, results])
    const known = this.#known.get(name)
    if (known !== undefined) return { results: known }
    this.#known.set(name, results)
    return { results }
  }
}

/** What is violated is told image by image, and what ends has a time of its own. */
function isLasting(verdict: Verdict): boolean {
  return verdict.kind === 'satisfied' && verdict.until === undefined
}

/** Who satisfies it is all that is ever told of it. */
function withoutProofs(verdict: Verdict): Verdict {
  if (verdict.kind !== 'satisfied') return verdict
  const by = verdict.by.map(({ authority, signer }) => ({
    authority,
    signer: signer === undefined ? undefined : named(signer),
    verified: [],
  }))
  return { ...verdict, by }
}

/** The rest of a certificate is of one run of a workflow. */
function named(signer: Signer): Signer {
  return signer.kind === 'key' ? signer : { ...signer, identity: { ...signer.identity, extensions: {} } }
}
