import assert from 'node:assert/strict'
import { digestOf } from '../../oci/digest.ts'
import { parseImageReference, type ManifestReference, type Repository } from '../../oci/reference.ts'
import type { CircuitEvent } from '../circuits.ts'
import { UpstreamError, type RegistryClient } from '../types.ts'
import { createTestClient, type TestClient } from './scripted-server.ts'

export const never = new AbortController().signal
export const latest: ManifestReference = parseImageReference('app:latest')?.reference ?? assert.fail()
export const DIGEST = digestOf(Buffer.from('blob'))
const START_MS = Date.UTC(2026, 0, 1)

export function app(name: string): Repository {
  return { registry: 'test', name }
}

type CountedClient = {
  readonly client: TestClient
  readonly clock: { ms: number }
  /** What became of each request that was sent. */
  readonly sent: (number | string)[]
  readonly events: CircuitEvent[]
  /** `away`: why nothing may be dialled. */
  readonly taken: { away: string | undefined }
}

/** A client that counts what it sends, over a clock that the test moves. */
export function clientOf(url: string, config: Parameters<typeof createTestClient>[1] = {}): CountedClient {
  const clock = { ms: START_MS }
  const sent: (number | string)[] = []
  const events: CircuitEvent[] = []
  const taken: { away: string | undefined } = { away: undefined }
  const client = createTestClient(url, {
    config: { retries: 0, headersTimeoutMs: 50, ...config.config },
    deps: {
      now: () => clock.ms,
      onRequest: ({ result }) => void sent.push(result),
      onCircuit: (event) => void events.push(event),
      takenAway: () => taken.away,
      ...config.deps,
    },
  })
  return { client, clock, sent, events, taken }
}

export async function failureOf(asked: Promise<unknown>): Promise<UpstreamError> {
  const error = await asked.then(
    () => assert.fail('an answer'),
    (reason: unknown) => reason,
  )
  assert(error instanceof UpstreamError)
  return error
}

/** Pulls of different images, one after another. */
export async function pulls(client: RegistryClient, count: number): Promise<UpstreamError[]> {
  const failures: UpstreamError[] = []
  for (let image = 0; image < count; image += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after another
    failures.push(await failureOf(client.getManifest(app(`app-${image}`), latest, never)))
  }
  return failures
}
