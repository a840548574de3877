import { z } from 'zod'
import type { Digest } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { parseTag, type Repository } from '../oci/reference.ts'
import type { Exchange, RegistryAnswer } from './exchange.ts'
import { nextLink } from './link.ts'
import { headerValue } from './transport.ts'
import { UpstreamError, type RegistryClient } from './types.ts'

export const REFERRER_PAGES_MAX = 8
const REFERRER_PAGE_BYTES_MAX = 1024 * 1024

/** Some registries ignore `n` and send every tag: ten thousand of them stay under this. */
const TAGS_BYTES_MAX = 4 * 1024 * 1024

const TagList = z.object({ tags: z.array(z.string()).nullish() })

type ListingMethods = Pick<RegistryClient, 'getReferrers' | 'getTags'>

/** distribution-spec 1.1 "Listing Referrers": what a registry without the API answers. */
function lacksReferrersApi(answer: RegistryAnswer): boolean {
  if ([400, 404, 405, 406].includes(answer.status)) return true
  const type = headerValue(answer.headers, 'content-type') ?? ''
  return answer.status === 200 && type.split(';', 1)[0]?.trim().toLowerCase() !== MEDIA_TYPE.ociIndex
}

/** Path and query of the next page. A page elsewhere would be asked with this upstream's credentials. */
function nextPage(answer: RegistryAnswer): URL | undefined {
  const link = nextLink(answer.headers['link'])
  if (link === undefined) return undefined
  const next = URL.parse(link, answer.url)
  if (next === null || next.origin !== answer.url.origin) {
    throw new UpstreamError('invalid', `${answer.url.host} continues a list on another host`)
  }
  return next
}

export function createListingMethods(exchange: Exchange): ListingMethods {
  return {
    async getReferrers(repository, subject, signal) {
      const pages: Buffer[] = []
      let query = ''
      while (pages.length < REFERRER_PAGES_MAX) {
        const answer = await exchange(referrersRequest(repository, subject, query), signal)
        if (pages.length === 0 && lacksReferrersApi(answer)) return undefined
        if (answer.status !== 200) throw listingError(answer)
        pages.push(answer.bytes)
        const next = nextPage(answer)
        if (next === undefined) return pages
        query = next.search
      }
      return pages
    },

    async getTags(repository, page, signal) {
      const query = new URLSearchParams()
      if (page.n !== undefined) query.set('n', String(page.n))
      if (page.last !== undefined) query.set('last', page.last)
      const path = query.size === 0 ? 'tags/list' : `tags/list?${query.toString()}`
      const headers = { accept: 'application/json' }
      const answer = await exchange(
        { repository, method: 'GET', kind: 'tags', path, headers, bytesMax: TAGS_BYTES_MAX },
        signal,
      )
      if (answer.status !== 200) throw answer.error()
      const list = parseTags(answer)
      return { tags: list.filter((tag) => parseTag(tag) !== undefined), more: nextPage(answer) !== undefined }
    },
  }
}

function referrersRequest(repository: Repository, subject: Digest, query: string): Parameters<Exchange>[0] {
  const headers = { accept: MEDIA_TYPE.ociIndex }
  const path = `referrers/${subject}${query}`
  return { repository, method: 'GET', kind: 'referrers', path, headers, bytesMax: REFERRER_PAGE_BYTES_MAX }
}

/** A page that was promised and is missing is no sign of absence, whatever the status says. */
function listingError(answer: RegistryAnswer): UpstreamError {
  const error = answer.error()
  return error.code === 'not-found' ? new UpstreamError('unavailable', error.message, { status: 404 }) : error
}

function parseTags(answer: RegistryAnswer): readonly string[] {
  let json: unknown
  try {
    json = JSON.parse(answer.bytes.toString('utf8'))
  } catch (cause) {
    throw new UpstreamError('invalid', `${answer.url.host} answered a tag list that is not JSON`, { cause })
  }
  const parsed = TagList.safeParse(json)
  if (!parsed.success) throw new UpstreamError('invalid', `${answer.url.host} answered no tag list`)
  return parsed.data.tags ?? []
}
