const HEAD_END = '\r\n\r\n'
/** Node's own limit of a head, several times over. */
const HEAD_BYTES_MAX = 64 * 1024
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})[ \r]/
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)\r\n/i

/**
 * Cuts what one connection receives into answers, one at a time, as their Content-Length says (RFC 9112 section 6.3).
 * Only what registries send for manifests: no chunks, nothing before the final answer.
 */
export class AnswerReader {
  readonly #hasBodies: boolean
  /** Of a head that is not whole yet. */
  #head: Buffer | undefined
  /** Undefined while a head is read. */
  #missingBytes: number | undefined
  #status = 0
  #bodyBytes = 0

  constructor(method: 'GET' | 'HEAD') {
    this.#hasBodies = method === 'GET'
  }

  /** Of the answer that `read` told of last. */
  get bodyBytes(): number {
    return this.#bodyBytes
  }

  /** The status once the answer is whole, 0 before. Throws where the bytes are no answer, or more than the one awaited. */
  read(chunk: Buffer): number {
    const body = this.#missingBytes === undefined ? this.#readHead(chunk) : chunk
    if (body === undefined || this.#missingBytes === undefined) return 0
    this.#missingBytes -= body.length
    if (this.#missingBytes > 0) return 0
    if (this.#missingBytes < 0) throw new RangeError('more bytes than the answer announced')
    this.#missingBytes = undefined
    return this.#status
  }

  /** What follows the head, once that is whole. */
  #readHead(chunk: Buffer): Buffer | undefined {
    const bytes = this.#head === undefined ? chunk : Buffer.concat([this.#head, chunk])
    const end = bytes.indexOf(HEAD_END)
    if (end < 0) {
      if (bytes.length > HEAD_BYTES_MAX) throw new RangeError('a head without end')
      this.#head = bytes
      return undefined
    }
    this.#head = undefined
    const bodyStart = end + HEAD_END.length
    const head = bytes.toString('latin1', 0, bodyStart)
    const status = STATUS_LINE.exec(head)?.[1]
    const length = CONTENT_LENGTH.exec(head)?.[1]
    if (status === undefined || length === undefined)
      throw new TypeError(`no answer of known length: ${head.slice(0, 200)}`)
    this.#status = Number(status)
    this.#bodyBytes = this.#hasBodies ? Number(length) : 0
    this.#missingBytes = this.#bodyBytes
    return bytes.subarray(bodyStart)
  }
}
