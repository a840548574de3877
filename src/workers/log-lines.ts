import { StringDecoder } from 'node:string_decoder'

const LINE_BYTES_MAX = 1024 * 1024

/**
 * The log of one worker on its way through the keeper: whole lines only, since pieces of two writers on one pipe may mix,
 * and each says whose it is. A line is a JSON object, in which no line break stands.
 */
export class LogLines {
  readonly #write: (lines: string) => void
  readonly #decoder = new StringDecoder('utf8')
  readonly #label: string
  #rest = ''
  /** Inside a line that was too long. */
  #isSkipping = false

  constructor(worker: number, write: (lines: string) => void) {
    this.#write = write
    this.#label = `{"worker":${worker},`
  }

  push(chunk: Buffer): void {
    const text = this.#rest + this.#past(this.#decoder.write(chunk))
    const end = text.lastIndexOf('\n') + 1
    this.#rest = text.slice(end)
    if (end > 0) this.#write(this.#labelled(text.slice(0, end)))
    // Nobody writes such a line; without a limit a worker gone mad would take the keeper's memory.
    else if (this.#rest.length > LINE_BYTES_MAX) {
      this.#rest = ''
      this.#isSkipping = true
    }
  }

  /** What a process that ended in the middle of a line had written of it. */
  end(): void {
    if (this.#rest !== '') this.#write(this.#labelled(`${this.#rest}\n`))
    this.#rest = ''
  }

  /** What comes after the end of a line that is skipped. */
  #past(text: string): string {
    if (!this.#isSkipping) return text
    const end = text.indexOf('\n') + 1
    this.#isSkipping = end === 0
    return end === 0 ? '' : text.slice(end)
  }

  #labelled(lines: string): string {
    const rest = lines.replaceAll('\n{', `\n${this.#label}`)
    return rest.startsWith('{') ? this.#label + rest.slice(1) : rest
  }
}
