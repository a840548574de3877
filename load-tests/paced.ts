import { connect, type Socket } from 'node:net'
import { createHistogram, type Histogram, type RecordableHistogram } from 'node:perf_hooks'
import { AnswerReader } from './answer-reader.ts'
import { requestBytes } from './clients.ts'
import type { Target } from './measure.ts'

export type Pace = {
  /** Infinity: as fast as answers come, each request due when a connection is free: a closed loop. */
  readonly ratePerSecond: number
  readonly seconds: number
  readonly connections: number
  /** Of those: requests that are due in them are sent and not counted, for they open the connections. Default 0. */
  readonly leadInSeconds?: number
  /** Ends it before its time. */
  readonly signal?: AbortSignal
  /** Told of every answer. `dueMs` is of `performance.now()`; `status` is 0 where there was no whole answer. */
  readonly onAnswer?: (dueMs: number, latencyMs: number, status: number) => void
}

export type PacedResult = {
  /** Nanoseconds from the moment at which each request was due, answered or not, but for those of the lead-in. */
  readonly latency: Histogram
  /** Nanoseconds by which the generator itself was late, although a connection was free: what of `latency` is its own. */
  readonly lateness: Histogram
  readonly sent: number
  /** Answers other than a 200 of the length expected, connections that broke, and what came to no end. */
  readonly failed: number
  readonly elapsedMs: number
}

const NANOSECONDS_PER_MS = 1e6
/** After the last request was due. */
const DRAIN_MS = 5_000
const RECONNECT_MS = 20
/** A timer may come this much late; what is due sooner is waited for by turning the event loop. */
const TIMER_SLACK_MS = 2

export function percentileMs(histogram: Histogram, percentile: number): number {
  return histogram.percentile(percentile) / NANOSECONDS_PER_MS
}

export function requestsPerSecond({ sent, elapsedMs }: PacedResult): number {
  return sent / (elapsedMs / 1000)
}

/**
 * Sends requests at their times, whether those before have been answered or not (an open loop). What is due while no
 * connection is free waits, and its wait counts: a server that stops for a second is seen by every request of that second.
 * Several targets of one server are asked by turns.
 */
export async function paced(target: Target | readonly Target[], pace: Pace): Promise<PacedResult> {
  const run = new PacedRun([target].flat(), pace)
  return await run.result
}

type Prepared = { readonly bytes: Buffer; readonly bodyBytes: number }
type Address = { readonly host: string; readonly port: number; readonly method: 'GET' | 'HEAD' }

function prepare(target: Target): Prepared {
  return { bytes: requestBytes(target), bodyBytes: target.method === 'HEAD' ? 0 : target.bodyBytes }
}

function addressOf(targets: readonly Target[]): Address {
  const addresses = targets.map(({ url, method }) => ({ host: new URL(url).host, method }))
  const [first] = addresses
  if (first === undefined || addresses.some((one) => one.host !== first.host || one.method !== first.method))
    throw new TypeError('targets of one server and one method')
  const { hostname, port } = new URL(`http://${first.host}`)
  return { host: hostname, port: Number(port), method: first.method }
}

/** One keep-alive connection with one request at a time. Opens itself again where the server closes it. */
class Connection {
  #request: Prepared | undefined
  #dueMs = 0
  #socket: Socket | undefined
  /** Since when it waits for a request. */
  freeSinceMs = 0
  readonly #address: Address
  readonly #run: Listener
  #isClosed = false

  constructor(address: Address, run: Listener) {
    this.#address = address
    this.#run = run
    this.#open()
  }

  send(request: Prepared, dueMs: number): void {
    this.#request = request
    this.#dueMs = dueMs
    this.#socket?.write(request.bytes)
  }

  /** What was in flight came to no end. */
  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
    this.#end(0)
  }

  #open(): void {
    const reader = new AnswerReader(this.#address.method)
    const socket = connect(this.#address.port, this.#address.host)
    socket.setNoDelay(true)
    socket.on('connect', () => {
      this.#socket = socket
      this.#release()
    })
    socket.on('data', (chunk: Buffer) => this.#read(reader, chunk, socket))
    // 'close' follows and tells what became of the request.
    socket.on('error', () => undefined)
    socket.on('close', () => this.#broken())
  }

  #read(reader: AnswerReader, chunk: Buffer, socket: Socket): void {
    try {
      const status = reader.read(chunk)
      if (status === 0) return
      this.#end(status, reader.bodyBytes)
      this.#release()
    } catch {
      socket.destroy()
    }
  }

  #release(): void {
    this.freeSinceMs = performance.now()
    this.#run.free(this)
  }

  #end(status: number, bodyBytes = 0): void {
    const request = this.#request
    if (request === undefined) return
    this.#request = undefined
    this.#run.answered(this.#dueMs, status, bodyBytes === request.bodyBytes)
  }

  #broken(): void {
    if (this.#isClosed) return
    this.#socket = undefined
    this.#run.lost(this)
    this.#end(0)
    setTimeout(() => this.#isClosed || this.#open(), RECONNECT_MS)
  }
}

type Listener = {
  free(connection: Connection): void
  lost(connection: Connection): void
  answered(dueMs: number, status: number, isWhole: boolean): void
}

class PacedRun {
  readonly result: Promise<PacedResult>
  readonly #requests: readonly Prepared[]
  readonly #pace: Pace
  readonly #connections: readonly Connection[]
  /** Oldest first, so that none is idle for so long that the server closes it. */
  readonly #free: Connection[] = []
  readonly #latency = createHistogram()
  readonly #lateness = createHistogram()
  readonly #startMs = performance.now()
  readonly #countedFromMs: number
  #endMs: number
  #sent = 0
  #inFlight = 0
  #failed = 0

  constructor(targets: readonly Target[], pace: Pace) {
    this.#requests = targets.map(prepare)
    this.#pace = pace
    this.#endMs = this.#startMs + pace.seconds * 1000
    this.#countedFromMs = this.#startMs + (pace.leadInSeconds ?? 0) * 1000
    pace.signal?.addEventListener('abort', () => (this.#endMs = Math.min(this.#endMs, performance.now())))
    const listener: Listener = {
      free: (connection) => {
        this.#free.push(connection)
        this.#send()
      },
      lost: (connection) => {
        const index = this.#free.indexOf(connection)
        if (index >= 0) this.#free.splice(index, 1)
      },
      answered: (dueMs, status, isWhole) => {
        this.#inFlight -= 1
        this.#count(dueMs, status, isWhole)
      },
    }
    const address = addressOf(targets)
    this.#connections = Array.from({ length: pace.connections }, () => new Connection(address, listener))
    const { promise, resolve } = Promise.withResolvers<PacedResult>()
    this.result = promise
    this.#turn(resolve)
  }

  /** When the next request is due. */
  #nextDueMs(nowMs: number): number {
    const { ratePerSecond } = this.#pace
    if (ratePerSecond === Number.POSITIVE_INFINITY) return nowMs
    return this.#startMs + (this.#sent * 1000) / ratePerSecond
  }

  #send(): void {
    const nowMs = performance.now()
    for (;;) {
      const dueMs = this.#nextDueMs(nowMs)
      if (dueMs > nowMs || dueMs >= this.#endMs) return
      const request = this.#requests[this.#sent % this.#requests.length]
      const connection = request === undefined ? undefined : this.#free.shift()
      if (request === undefined || connection === undefined) return
      if (connection.freeSinceMs <= dueMs) this.#record(this.#lateness, dueMs, nowMs - dueMs)
      this.#sent += 1
      this.#inFlight += 1
      connection.send(request, dueMs)
    }
  }

  #count(dueMs: number, status: number, isWhole: boolean): void {
    const latencyMs = performance.now() - dueMs
    this.#record(this.#latency, dueMs, latencyMs)
    if (status !== 200 || !isWhole) this.#failed += 1
    this.#pace.onAnswer?.(dueMs, latencyMs, status)
  }

  #record(histogram: RecordableHistogram, dueMs: number, ms: number): void {
    if (dueMs >= this.#countedFromMs) histogram.record(Math.max(1, Math.round(ms * NANOSECONDS_PER_MS)))
  }

  #turn(resolve: (result: PacedResult) => void): void {
    this.#send()
    const nowMs = performance.now()
    const dueMs = this.#nextDueMs(nowMs)
    const isDrained = dueMs >= this.#endMs && this.#inFlight === 0
    if (nowMs >= this.#endMs && (isDrained || nowMs >= this.#endMs + DRAIN_MS)) return resolve(this.#finish())
    const waitMs = this.#free.length === 0 ? TIMER_SLACK_MS : Math.min(dueMs, this.#endMs) - nowMs
    const again = (): void => this.#turn(resolve)
    if (waitMs < TIMER_SLACK_MS && nowMs < this.#endMs) setImmediate(again)
    else setTimeout(again, Math.max(1, waitMs - TIMER_SLACK_MS))
  }

  #finish(): PacedResult {
    const elapsedMs = performance.now() - this.#startMs
    for (const connection of this.#connections) connection.close()
    // What was due and never found a free connection.
    for (
      let dueMs = this.#nextDueMs(this.#endMs);
      dueMs < this.#endMs;
      dueMs = this.#nextDueMs(this.#endMs)
    ) {
      this.#sent += 1
      this.#count(dueMs, 0, false)
    }
    return {
      latency: this.#latency,
      lateness: this.#lateness,
      sent: this.#sent,
      failed: this.#failed,
      elapsedMs,
    }
  }
}
