import { DEFAULT_RING, type Ring } from '../policy/ring.ts'
import type { Metrics } from './metrics.ts'
import { requestText, type RequestFacts, type RequestLog, type RequestText } from './request-log.ts'

/** What there is to note of a request, but for who asked and how long it took: the same for whoever asks the same. */
export type RequestNote = {
  readonly route: string
  readonly method: string
  readonly status: number
  readonly text: RequestText
}

type Asked = { readonly method: string; readonly target: string | undefined; readonly ring: Ring }
type Told = { readonly route: string; readonly status: number; readonly facts: RequestFacts | undefined }

export function requestNote({ method, target, ring }: Asked, { route, status, facts }: Told): RequestNote {
  // As if there were no rings, where nobody has configured any.
  const named = ring.name === DEFAULT_RING ? undefined : ring.name
  const label = method === 'GET' || method === 'HEAD' ? method : 'other'
  const text = requestText({ method, target, route, status, ring: named, ...facts })
  return { route, method: label, status, text }
}

export type RequestNotesDeps = {
  metrics: Pick<Metrics, 'httpRequests'>
  requests: Pick<RequestLog, 'write'>
}

/** The one log line and the one count of a request. */
export function noteRequest(
  { route, method, status, text }: RequestNote,
  { client, ms }: { client: string; ms: number },
  { metrics, requests }: RequestNotesDeps,
): void {
  metrics.httpRequests.inc(route, method, status)
  requests.write(text, client, ms)
}

/** Milliseconds since `start` on the same clock, to a microsecond. */
export function millisecondsSince(start: number, elapsed: () => number): number {
  return Math.round((elapsed() - start) * 1000) / 1000
}
