import type { DestinationStream, Logger } from 'pino'

/** What is said of a request, but for who asked and how long it took. Each field is chosen where it is written, and holds no secret. */
export type RequestFacts = Readonly<Record<string, string | number | undefined>>

/** In JSON: the same for whoever asks the same. */
export type RequestText = { readonly json: string }

/**
 * The one line of every request. Spells the lines as pino would, and hands on those of one turn of the event loop as one
 * piece. Through pino and one by one they cost as much as the rest of a warm answer: its stream measures all that it holds
 * anew with each piece.
 */
export class RequestLog {
  readonly #log: Pick<Logger, 'isLevelEnabled'>
  readonly #destination: DestinationStream
  readonly #time: () => string
  #lines = ''

  /** `time`: what the lines of `log` say, so that the two can be sorted together. */
  constructor(log: Pick<Logger, 'isLevelEnabled'>, destination: DestinationStream, time: () => string) {
    this.#log = log
    this.#destination = destination
    this.#time = time
  }

  /** `client`: an address, as node:net spells it. `ms`: how long the answer took. */
  write({ json }: RequestText, client: string, ms: number): void {
    if (!this.#log.isLevelEnabled('info')) return
    if (this.#lines === '') setImmediate(() => this.flush())
    this.#lines += `{"level":"info","time":"${this.#time()}","service":"portcullis","event":"request",${json},"client":"${client}","ms":${ms}}\n`
  }

  flush(): void {
    const lines = this.#lines
    this.#lines = ''
    if (lines !== '') this.#destination.write(lines)
  }
}

export function requestText(facts: RequestFacts): RequestText {
  return { json: JSON.stringify(facts).slice(1, -1) }
}
