import type { Discovery } from './discover/types.ts'

/** Guesses in vain, one after the other, that a registry is asked for; after that none, until images need evidence again. */
const CREDIT_MAX = 16
/** Of one registry at a time: guesses must not fill the queue that certain requests wait in. */
const RUNNING_MAX = 32

/** Evidence that is asked for before its manifest is there. */
export type HeadStart = Disposable & {
  /** To be called when the manifest itself is asked for. */
  begin(): void
  /** For whoever needs the evidence after all; undefined where nothing was begun. Nothing is left to run otherwise. */
  take(): Promise<Discovery> | undefined
}

export type Guess = {
  readonly registry: string
  /** Whether the evidence will be needed, should the digest be that of an image. */
  readonly isLikely: () => boolean
  readonly discover: (signal: AbortSignal) => Promise<Discovery> | undefined
}

/**
 * Where an image is pulled by its digest, nothing that is asked about it depends on its manifest: asked for together, the
 * evidence comes a round trip earlier. But that the digest is one of an image is a guess, and whoever asks for digests of
 * nothing would have the registry asked five times for each. So guesses are on credit, which right ones earn.
 */
export class HeadStarts {
  /** By registry, of which there are as many as are configured. */
  readonly #accounts = new Map<string, { credit: number; running: number }>()

  of({ registry, isLikely, discover }: Guess): HeadStart {
    const account = this.#accounts.get(registry) ?? { credit: CREDIT_MAX, running: 0 }
    this.#accounts.set(registry, account)
    const givenUp = new AbortController()
    let isGuessed = false
    let isTaken = false
    let discovery: Promise<Discovery> | undefined
    return {
      begin() {
        if (isGuessed || !isLikely()) return
        isGuessed = true
        if (account.credit === 0 || account.running >= RUNNING_MAX) return
        discovery = discover(givenUp.signal)
        if (discovery === undefined) return
        account.running++
        // Whoever takes it learns of its errors; where nobody does, they are nobody's.
        discovery.catch(() => undefined).finally(() => account.running--)
      },
      take() {
        isTaken = true
        return discovery
      },
      [Symbol.dispose]() {
        if (isGuessed)
          account.credit = isTaken
            ? Math.min(CREDIT_MAX, account.credit + 1)
            : Math.max(0, account.credit - 1)
        if (discovery !== undefined && !isTaken) givenUp.abort()
      },
    }
  }
}
