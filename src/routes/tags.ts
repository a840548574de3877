import type { Answer } from '../http/answer.ts'
import { upstreamFailureAnswer } from '../http/upstream-failure.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { RoutedRequest } from './request.ts'

/** Our own JSON and our own link: nothing of upstream's headers is passed on (distribution-spec 1.1, "Listing Tags"). */
export async function answerTags(
  request: RoutedRequest,
  page: { n?: number; last?: string },
  client: RegistryClient,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    const { tags, more } = await client.getTags(request.repository, page, signal)
    const body = Buffer.from(JSON.stringify({ name: request.repository.name, tags }))
    const last = tags.at(-1)
    const link =
      more && last !== undefined
        ? { link: `<${nextPage(request, page.n ?? tags.length, last)}>; rel="next"` }
        : {}
    return { status: 200, headers: { ...jsonHead(body), ...link }, body }
  } catch (error) {
    if (error instanceof UpstreamError) return upstreamFailureAnswer(error, 'name')
    throw error
  }
}

function nextPage(request: RoutedRequest, n: number, last: string): string {
  const query = new URLSearchParams({ n: String(n), last })
  if (request.ns !== undefined) query.set('ns', request.ns)
  return `${request.path}?${query.toString()}`
}

function jsonHead(body: Buffer): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'docker-distribution-api-version': 'registry/2.0',
  }
}
