import * as z from 'zod'
import { TrustError } from '../trust/trust-error.ts'
import type { TrustAccess } from './trust.ts'
import type { TrustReport } from './trust-text.ts'

const date = z.iso.datetime().transform((text) => new Date(text))
const optional = date.optional()

const item = z.object({
  what: z.enum(['certificate-authority', 'log', 'ct-log', 'timestamp-authority', 'key']),
  name: z.string(),
  from: optional,
  until: optional,
  isRetiring: z.boolean(),
})

/** What the admin listener answers: SourceStatus as JSON, in which an undefined field is absent. */
const report = z.object({
  version: z.string(),
  sources: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(['public-good', 'tuf', 'pinned', 'pki', 'keys', 'kms']),
      origin: z.string(),
      state: z.enum(['fresh', 'stale', 'unusable']),
      problem: z.string().optional(),
      renewedAt: optional,
      warnsAt: optional,
      stopsAt: optional,
      documents: z.array(z.object({ version: z.string(), isRetiring: z.boolean() })),
      roles: z.array(z.object({ role: z.string(), version: z.int(), expires: date })),
      servableUntil: optional,
      held: z.array(item),
    }),
  ),
})

const refreshed = z.object({ failed: z.record(z.string(), z.string()) })

/** The trust of a proxy that runs, by its admin listener. */
export class RunningTrust implements TrustAccess {
  readonly #base: string

  constructor({ host, port }: { host: string; port: number }) {
    this.#base = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  async report(): Promise<TrustReport> {
    const { version, sources } = report.parse(await (await this.#ask('GET', '/trust')).json())
    const filled = sources.map((source) => ({
      problem: undefined,
      renewedAt: undefined,
      warnsAt: undefined,
      stopsAt: undefined,
      servableUntil: undefined,
      ...source,
      held: source.held.map((one) => ({ from: undefined, until: undefined, ...one })),
    }))
    return { version, sources: filled }
  }

  async refresh(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#ask('POST', '/trust/refresh', JSON.stringify({ names }))
    return new Map(Object.entries(refreshed.parse(await answer.json()).failed))
  }

  async document(name: string): Promise<string | undefined> {
    const answer = await this.#ask('GET', `/trust/${encodeURIComponent(name)}/document`)
    return answer.status === 404 ? undefined : await answer.text()
  }

  async close(): Promise<void> {
    // Nothing is held: every question is a request of its own.
  }

  async #ask(method: string, path: string, body?: string): Promise<Response> {
    const url = `${this.#base}${path}`
    try {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) })
      if (answer.ok || answer.status === 404) return answer
      throw new TrustError(
        'unavailable',
        `${method} ${url} answered ${answer.status}: ${await answer.text()}`,
      )
    } catch (error) {
      if (error instanceof TrustError) throw error
      const advice = 'the data directory is in use, and nothing answers at listen.admin of this configuration'
      throw new TrustError('unavailable', `${method} ${url}: ${advice}`, error)
    }
  }
}
