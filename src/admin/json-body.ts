import type { Context } from 'hono'
import type * as z from 'zod'

type JsonBody<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly status: 400 | 411 | 413 | 415; readonly problem: string }

/** The body of a request as `schema` has it, or the status and the words with which to refuse it. */
export async function readJson<T>(
  context: Context,
  schema: z.ZodType<T>,
  bytesMax: number,
): Promise<JsonBody<T>> {
  const type = context.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') return { ok: false, status: 415, problem: 'expected application/json' }
  // The HTTP parser holds a client to the length that it names, so naming one is enough.
  const length = Number(context.req.header('content-length'))
  if (Number.isNaN(length)) return { ok: false, status: 411, problem: 'expected a Content-Length' }
  if (length > bytesMax) return { ok: false, status: 413, problem: `more than ${bytesMax} bytes` }
  let json: unknown
  try {
    json = await context.req.json()
  } catch {
    return { ok: false, status: 400, problem: 'the body is not JSON' }
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return { ok: true, value: parsed.data }
  return { ok: false, status: 400, problem: problemOf(parsed.error) }
}

function problemOf(error: z.ZodError): string {
  const [first] = error.issues
  if (first === undefined) return 'not what was expected'
  return first.path.length === 0 ? first.message : `${first.path.join('.')}: ${first.message}`
}
