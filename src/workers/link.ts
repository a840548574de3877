import { connect, type Socket } from 'node:net'
import { Frames, sendFrame } from './frames.ts'
import { isToKeeper, type Answers, type HandedPull } from './messages.ts'
import { NoAnswerError, Questions } from './questions.ts'

export type LinkDeps = {
  /** Calls back after that many milliseconds, unless the process has ended by then. */
  readonly later: (call: () => void, ms: number) => void
}

/** How often a cold worker that has something to do is asked whether it is there. */
const BEAT_MS = 250
/** Half a second of silence. Counted, as in Pulse: who was held up himself finds one answer late and not the other hanging. */
const UNHEARD_MAX = 2

/** A connection to a cold worker, made when there is something to ask, and anew when it has broken. */
export class Link {
  readonly #path: string
  readonly #deps: LinkDeps
  readonly #questions: Questions
  #socket: Socket | undefined
  /** Asked whether it is there, and nothing heard since. */
  #unheard = 0
  #isWatched = false
  /** The body that came last. */
  #body: Buffer | undefined

  constructor(path: string, deps: LinkDeps) {
    this.#path = path
    this.#deps = deps
    this.#questions = new Questions((id, ask) => {
      this.#socket ??= this.#connected()
      // What is written before it is connected waits for that.
      sendFrame(this.#socket, { kind: 'ask', id, ask })
    })
  }

  /** Rejects with NoAnswerError, at once where it hangs; with another error where the question cannot be sent. */
  async ask(pull: HandedPull, limit: AbortSignal): Promise<Answers['pull']> {
    if (this.#isSilent) throw new NoAnswerError('pull: the process hangs')
    const asking = this.#questions.ask({ kind: 'pull', ...pull }, limit)
    if (!this.#isWatched) this.#beat()
    const { answer, ...others } = await asking
    return { answer: { ...answer, body: this.#shared(answer.body) }, ...others }
  }

  close(): void {
    this.#socket?.destroy()
  }

  /** Until it says something again, or its connection ends. */
  get #isSilent(): boolean {
    return this.#unheard >= UNHEARD_MAX
  }

  #beat(): void {
    this.#isWatched = this.#socket !== undefined && this.#questions.areWaiting
    if (this.#socket === undefined || !this.#isWatched) return
    if (this.#isSilent) {
      this.#isWatched = false
      this.#questions.end()
      return
    }
    this.#unheard += 1
    sendFrame(this.#socket, { kind: 'ping' })
    this.#deps.later(() => this.#beat(), BEAT_MS)
  }

  /** Many who ask for one image at once, and read slowly, hold one copy of it. */
  #shared(body: Buffer): Buffer {
    if (body.length === 0) return body
    if (this.#body?.equals(body) !== true) this.#body = body
    return this.#body
  }

  #connected(): Socket {
    const socket = connect(this.#path)
    const frames = new Frames()
    socket.on('data', (chunk: Buffer) => {
      // Also by a piece of something large.
      this.#unheard = 0
      try {
        for (const message of frames.push(chunk)) this.#hear(message)
      } catch {
        socket.destroy()
      }
    })
    // At once and not when it is closed: whoever asks meanwhile asks on another connection.
    const onEnd = (): void => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#unheard = 0
      socket.destroy()
      this.#questions.end()
    }
    socket.on('error', onEnd).on('end', onEnd).on('close', onEnd)
    return socket
  }

  #hear(message: unknown): void {
    if (isToKeeper(message) && message.kind === 'answer') this.#questions.answer(message.id, message.answer)
  }
}
