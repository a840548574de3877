import type { Answer, Answers, Ask } from './messages.ts'

/** The other process did not answer: not in time, not at all, or with what went wrong there. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
}

type Waiting = { readonly resolve: (answer: Answer) => void }

/** Questions to one other process, each with an answer or a limit. */
export class Questions {
  readonly #send: (id: number, ask: Ask) => void
  readonly #waiting = new Map<number, Waiting>()
  #asked = 0

  constructor(send: (id: number, ask: Ask) => void) {
    this.#send = send
  }

  get areWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /** Rejects with NoAnswerError. */
  async ask<Kind extends Ask['kind']>(
    ask: Extract<Ask, { kind: Kind | Ask['kind'] }> & { kind: Kind },
    limit: AbortSignal,
  ): Promise<Answers[Kind]> {
    const id = (this.#asked += 1)
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const onLimit = (): void => resolve({ ok: false, message: 'no answer in time' })
    limit.addEventListener('abort', onLimit, { once: true })
    this.#waiting.set(id, { resolve })
    try {
      if (limit.aborted) onLimit()
      else this.#send(id, ask)
      const answer = await promise
      if (!answer.ok) throw new NoAnswerError(`${ask.kind}: ${answer.message}`)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the other end answers each kind with its own type
      return answer.value as Answers[Kind]
    } finally {
      this.#waiting.delete(id)
      limit.removeEventListener('abort', onLimit)
    }
  }

  /** An answer that has come; one that nobody waits for any more is dropped. */
  answer(id: number, answer: Answer): void {
    this.#waiting.get(id)?.resolve(answer)
  }

  /** The other process has ended: nobody waits in vain. */
  end(): void {
    for (const { resolve } of this.#waiting.values()) resolve({ ok: false, message: 'the process has ended' })
  }
}

/** What the function gives or throws, as an answer. */
export async function answerBy(work: () => unknown): Promise<Answer> {
  try {
    return { ok: true, value: await work() }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}
