import type { LogOutput } from './log-output.ts'

/** What is said of a request, but for who asked and how long it took. Each field is chosen where it is written, and holds no secret. */
export type RequestFacts = Readonly<Record<string, string | number | undefined>>

/** In JSON, encoded: the same for whoever asks the same. */
export type RequestText = { readonly json: Buffer }

const BEFORE_TIME = '{"level":"info","time":"'
const AFTER_TIME = '","service":"portcullis","event":"request",'
/** Of a client at three bytes for each character, a number, and what stands between. */
const REST_BYTES_MAX = 256
const BYTES_A_CHARACTER = 3

/** The one line of every request, spelled as pino would: through pino it costs as much as the rest of a warm answer. */
export class RequestLog {
  readonly #output: LogOutput
  readonly #time: () => string
  readonly #isOn: boolean
  #spelled = ''
  /** The same for all lines of one millisecond. */
  #start: Buffer = Buffer.alloc(0)

  /** `time`: what the lines of `log` say, so that the two can be sorted together. */
  constructor(output: LogOutput, time: () => string, isOn: boolean) {
    this.#output = output
    this.#time = time
    this.#isOn = isOn
  }

  /** `client`: an address, as node:net spells it. `ms`: how long the answer took. */
  write({ json }: RequestText, client: string, ms: number): void {
    if (!this.#isOn) return
    const start = this.#startOfLine()
    const output = this.#output
    output.begin(start.length + json.length + BYTES_A_CHARACTER * client.length + REST_BYTES_MAX)
    output.append(start)
    output.append(json)
    output.appendText(',"client":"')
    output.appendText(client)
    output.appendText('","ms":')
    output.appendText(String(ms))
    output.appendText('}\n')
    output.end()
  }

  #startOfLine(): Buffer {
    const time = this.#time()
    if (time !== this.#spelled) {
      this.#spelled = time
      this.#start = Buffer.from(BEFORE_TIME + time + AFTER_TIME)
    }
    return this.#start
  }
}

export function requestText(facts: RequestFacts): RequestText {
  const text = JSON.stringify(facts).slice(1, -1)
  // Memory of its own: it is kept for long, and would keep what it shares a piece of node's pool with.
  const json = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  json.write(text)
  return { json }
}
