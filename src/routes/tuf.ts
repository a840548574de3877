import type { Answer } from '../http/answer.ts'

/** One file of a TUF repository. What is immutable has its version or hash in its name. */
export type TufFile = { readonly bytes: Buffer; readonly isImmutable: boolean }

/** The repositories that are served again, by name. */
export type TufRepositories = ReadonlyMap<
  string,
  (path: string) => Promise<TufFile | undefined> | TufFile | undefined
>

/** `/tuf/<name>/<path>`: plain segments only, so that no path leaves its repository. */
const TARGET =
  /^\/tuf\/([a-z0-9][a-z0-9-]{0,62})\/((?:[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,255}\/){0,8}[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,255})$/
/** Versions and hashes never come to mean something else. */
const IMMUTABLE = 'public, max-age=31536000, immutable'

/**
 * A verified TUF repository, served byte for byte to other clients: `cosign initialize --mirror`, other edges. They
 * verify everything themselves, and refuse what has expired.
 */
export async function answerTuf(target: string, repositories: TufRepositories): Promise<Answer> {
  const [, name = '', path = ''] = TARGET.exec(target) ?? []
  const file = await repositories.get(name)?.(path)
  if (file === undefined) return notFound()
  return {
    status: 200,
    headers: {
      // Not JSON by media type: clients hash the very bytes, and nothing on the way should touch them.
      'content-type': 'application/octet-stream',
      'content-length': String(file.bytes.length),
      'cache-control': file.isImmutable ? IMMUTABLE : 'no-cache',
    },
    body: file.bytes,
  }
}

/** 404, which TUF clients take for "there is no newer root" (TUF specification 5.3.3). */
function notFound(): Answer {
  const body = Buffer.from('not found\n')
  const headers = {
    'content-type': 'text/plain',
    'content-length': String(body.length),
    'cache-control': 'no-store',
  }
  return { status: 404, headers, body }
}
