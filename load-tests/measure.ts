import autocannon, { type Client, type Options, type Result } from 'autocannon'
import { createHistogram } from 'node:perf_hooks'

export type Target = {
  readonly url: string
  readonly method: 'GET' | 'HEAD'
  readonly headers: Readonly<Record<string, string>>
  /** How many bytes of body each answer must have. */
  readonly bodyBytes: number
}

/** What clients send; a registry answers an OCI manifest only to those who say that they know it. */
export const MANIFEST_ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

export type Sample = {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Connection errors, timeouts, answers that are not 200. */
  readonly failed: number
  /** Share of its core that the generator used: near 1 the generator is what is measured. */
  readonly generatorBusy: number
}

const NANOSECONDS_PER_MS = 1e6

/** autocannon's parser waits for the body that a HEAD's Content-Length announces (RFC 9110 section 9.3.2: there is none). */
function expectNoBody(client: Client): void {
  client.on('headers', () => {
    const parser: unknown = Reflect.get(client, 'parser')
    if (typeof parser === 'object' && parser !== null) Reflect.set(parser, 'body_bytes', 0)
  })
}

type Listener = (status: number, latencyMs: number) => void

function drive(options: Options, onResponse: Listener): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>()
  const running = autocannon(options, (error: unknown, result) =>
    error instanceof Error ? reject(error) : resolve(result),
  )
  running.on('response', (_client, status, _bytes, latencyMs) => onResponse(status, latencyMs))
  return promise
}

/** Drives one target for `seconds`. autocannon's own latencies are whole milliseconds, so they are taken here. */
export async function measure(target: Target, seconds: number, connections: number): Promise<Sample> {
  const latency = createHistogram()
  let answered = 0
  let failed = 0
  const options = {
    url: target.url,
    method: target.method,
    headers: { ...target.headers },
    duration: seconds,
    connections,
    timeout: 5,
    ...(target.method === 'HEAD' ? { setupClient: expectNoBody } : {}),
  }
  const cpu = process.cpuUsage()
  const started = performance.now()
  const result = await drive(options, (status, latencyMs) => {
    if (status !== 200) failed += 1
    answered += 1
    latency.record(Math.max(1, Math.round(latencyMs * NANOSECONDS_PER_MS)))
  })
  const elapsedMs = performance.now() - started
  const used = process.cpuUsage(cpu)
  return {
    requestsPerSecond: answered / (elapsedMs / 1000),
    p50Ms: latency.percentile(50) / NANOSECONDS_PER_MS,
    p99Ms: latency.percentile(99) / NANOSECONDS_PER_MS,
    failed: failed + result.errors + result.timeouts,
    generatorBusy: (used.user + used.system) / 1000 / elapsedMs,
  }
}

/** One request of the same kind, its answer checked in full: what is measured must be the right answer. */
export async function checkOnce(target: Target, digest: string): Promise<void> {
  const response = await fetch(target.url, { method: target.method, headers: target.headers })
  const body = await response.arrayBuffer()
  const found = response.headers.get('docker-content-digest')
  const expectedBytes = target.method === 'HEAD' ? 0 : target.bodyBytes
  if (response.status === 200 && found === digest && body.byteLength === expectedBytes) return
  const text = Buffer.from(body).toString('utf8').slice(0, 500)
  throw new Error(`${target.method} ${target.url}: ${response.status}, digest ${found}, ${text}`)
}
