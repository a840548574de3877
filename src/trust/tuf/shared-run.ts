type Running = { readonly promise: Promise<void>; readonly controller: AbortController; waiters: number }

/** One run at a time, shared by all who ask for it meanwhile; it is given up once none of them waits any more. */
export class SharedRun {
  #running: Running | undefined

  /**
   * Rejects with what the run rejects with; where the signal ends the wait, with what `giveUp` makes. The last to leave
   * waits until the run has ended, so that nothing goes on behind a caller that thinks it has stopped.
   */
  async join(
    signal: AbortSignal,
    run: (signal: AbortSignal) => Promise<void>,
    giveUp: () => Error,
  ): Promise<void> {
    if (signal.aborted) throw giveUp()
    const left = Promise.withResolvers<never>()
    const leave = (): void => left.reject(giveUp())
    signal.addEventListener('abort', leave, { once: true })
    try {
      // One that was given up is still ending.
      while (this.#running?.controller.signal.aborted === true) {
        await Promise.race([settled(this.#running.promise), left.promise])
      }
      await this.#share(run, left.promise)
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  async #share(run: (signal: AbortSignal) => Promise<void>, left: Promise<never>): Promise<void> {
    const running = (this.#running ??= this.#start(run))
    running.waiters += 1
    try {
      await Promise.race([running.promise, left])
    } finally {
      running.waiters -= 1
      if (running.waiters === 0) {
        running.controller.abort()
        await settled(running.promise)
      }
    }
  }

  #start(run: (signal: AbortSignal) => Promise<void>): Running {
    const controller = new AbortController()
    const promise = run(controller.signal).finally(() => {
      this.#running = undefined
    })
    return { promise, controller, waiters: 0 }
  }
}

async function settled(promise: Promise<void>): Promise<void> {
  await promise.catch(() => undefined)
}
