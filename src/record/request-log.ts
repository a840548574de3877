import type { DestinationStream, Logger } from 'pino'

/** The one line of every request. Each field is chosen where it is written, and holds no secret. */
export type RequestLine = Readonly<Record<string, string | number | undefined>>

/**
 * Spells the lines as pino would, and hands on those of one turn of the event loop as one piece. Through pino and one by
 * one they cost as much as the rest of a warm answer: its stream measures all that it holds anew with each piece.
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

  write(line: RequestLine): void {
    if (!this.#log.isLevelEnabled('info')) return
    if (this.#lines === '') setImmediate(() => this.flush())
    const event = { level: 'info', time: this.#time(), service: 'portcullis', event: 'request', ...line }
    this.#lines += `${JSON.stringify(event)}\n`
  }

  flush(): void {
    const lines = this.#lines
    this.#lines = ''
    if (lines !== '') this.#destination.write(lines)
  }
}
