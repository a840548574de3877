import * as z from 'zod'

/** A proxy that does not answer, or not as one. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly code = 'unreachable'
}

export type AdminAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refused: Refused }

/** What the proxy says of a request that it does not carry out. */
export type Refused = { readonly status: number; readonly error: string; readonly unmet: readonly string[] }

export type AdminRequest = {
  readonly method: 'GET' | 'POST'
  /** With its query. */
  readonly path: string
  readonly body?: object
}

/** A reload may take 60 s, and until all workers go by it 20 s more for each change that is on its way. */
const CALL_MS_MAX = 120_000

const refusedBody = z.object({ error: z.string(), unmet: z.array(z.string()).default([]) })

/** The URL of the admin listener that a configuration describes. */
export function adminUrl({ host, port }: { host: string; port: number }): URL {
  return new URL(`http://${host.includes(':') ? `[${host}]` : host}:${port}/`)
}

/** Asks the admin listener of a running proxy. Throws AdminError where there is none. */
export async function askAdmin<T>(
  { admin, fetch }: { admin: URL; fetch: typeof globalThis.fetch },
  { method, path, body }: AdminRequest,
  schema: z.ZodType<T>,
): Promise<AdminAnswer<T>> {
  const url = new URL(path, admin.href.endsWith('/') ? admin : `${admin.href}/`)
  let response: Response
  let json: unknown
  try {
    response = await fetch(url, {
      method,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(CALL_MS_MAX),
      redirect: 'error',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    json = await response.json()
  } catch (error) {
    throw new AdminError(`${admin.host} does not answer as the admin listener of a proxy`, { cause: error })
  }
  const refused = refusedBody.safeParse(json)
  if (!response.ok && refused.success) {
    return { ok: false, refused: { status: response.status, ...refused.data } }
  }
  const parsed = schema.safeParse(json)
  if (response.ok && parsed.success) return { ok: true, value: parsed.data }
  throw new AdminError(`${admin.host} answered ${method} ${path} with ${response.status} and no report`)
}
