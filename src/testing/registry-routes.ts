import { randomUUID } from 'node:crypto'
import { matchesDigest, parseDigest } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { readManifest, type RegistryContent } from './registry-content.ts'
import { errorReply, jsonReply, type RegistryRequest, type Reply } from './registry-reply.ts'

export type RouteOptions = {
  readonly content: RegistryContent
  /** Asked at each request, so that a test may switch the API off. */
  readonly referrersApi: () => boolean
  /** Entries in a page of tags or referrers where the client does not ask for fewer. */
  readonly pageSize: number
  /** Upload id -> bytes so far. */
  readonly uploads: Map<string, Buffer>
}

const ROUTE =
  /^\/v2\/(?<name>.+?)\/(?:(?<kind>manifests|referrers)\/(?<reference>[^/]+)|blobs\/(?<blob>[^/]+:[^/]+)|blobs\/uploads\/(?<upload>[^/]*)|(?<tags>tags\/list))$/

/** The pull, push and discovery parts of distribution-spec 1.1. */
export function answer(request: RegistryRequest, options: RouteOptions): Reply {
  if (/^\/v2\/?$/.test(request.path)) return jsonReply(200, {})
  const { name, kind, reference = '', blob, upload, tags } = ROUTE.exec(request.path)?.groups ?? {}
  if (name === undefined) return errorReply(404, 'NOT_FOUND', 'no such route')
  if (blob !== undefined) return getBlob(request, options.content, name, blob)
  if (upload !== undefined) return uploadBlob(request, options, name, upload)
  if (tags !== undefined) return listTags(request, options, name)
  if (kind === 'referrers') return listReferrers(request, options, name, reference)
  if (request.method === 'PUT') return putManifest(request, options, name, reference)
  return getManifest(request, options.content, name, reference)
}

type Route4 = (request: RegistryRequest, content: RegistryContent, name: string, reference: string) => Reply

const getManifest: Route4 = ({ method }, content, name, reference) => {
  if (method !== 'GET' && method !== 'HEAD') return errorReply(405, 'UNSUPPORTED', 'method not allowed')
  const manifest = content.manifest(name, reference)
  if (manifest === undefined) return errorReply(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
  return {
    status: 200,
    headers: { 'content-type': manifest.mediaType, 'docker-content-digest': manifest.digest },
    body: manifest.bytes,
  }
}

const getBlob: Route4 = ({ method, headers }, content, name, reference) => {
  if (method !== 'GET' && method !== 'HEAD') return errorReply(405, 'UNSUPPORTED', 'method not allowed')
  const digest = parseDigest(reference)
  const bytes = digest === undefined ? undefined : content.blob(name, digest)
  if (digest === undefined || bytes === undefined) return errorReply(404, 'BLOB_UNKNOWN', 'blob unknown')
  const common = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
  }
  const range = method === 'GET' ? /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') : null
  if (range === null) return { status: 200, headers: common, body: bytes }
  const start = Number(range[1])
  const end = range[2] === '' ? bytes.length - 1 : Math.min(Number(range[2]), bytes.length - 1)
  if (start > end) {
    return { status: 416, headers: { ...common, 'content-range': `bytes */${bytes.length}` } }
  }
  return {
    status: 206,
    headers: { ...common, 'content-range': `bytes ${start}-${end}/${bytes.length}` },
    body: bytes.subarray(start, end + 1),
  }
}

type Route = (request: RegistryRequest, options: RouteOptions, name: string, reference: string) => Reply

const putManifest: Route = ({ headers, body }, { content, referrersApi }, name, reference) => {
  const wanted = parseDigest(reference)
  if (wanted !== undefined && !matchesDigest(body, wanted)) {
    return errorReply(400, 'DIGEST_INVALID', 'the manifest has another digest')
  }
  const digest = content.putManifest(name, reference, body, headers['content-type'])
  const subject = readManifest(body).subject?.digest
  return {
    status: 201,
    headers: {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      // Its absence tells the client to maintain the fallback tag itself.
      ...(subject === undefined || !referrersApi() ? {} : { 'oci-subject': subject }),
    },
  }
}

const listReferrers: Route = ({ query, path }, { content, referrersApi, pageSize }, name, reference) => {
  if (!referrersApi()) return errorReply(404, 'NOT_FOUND', 'no referrers API')
  const subject = parseDigest(reference)
  if (subject === undefined) return errorReply(400, 'DIGEST_INVALID', 'not a digest')
  const artifactType = query.get('artifactType')
  const all = content
    .referrers(name, subject)
    .filter((descriptor) => artifactType === null || descriptor.artifactType === artifactType)
  const start = Number(query.get('page') ?? 0) * pageSize
  const next = new URLSearchParams({ page: String(start / pageSize + 1) })
  if (artifactType !== null) next.set('artifactType', artifactType)
  return jsonReply(
    200,
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: all.slice(start, start + pageSize) },
    {
      'content-type': MEDIA_TYPE.ociIndex,
      ...(artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' }),
      ...(start + pageSize < all.length ? { link: `<${path}?${next.toString()}>; rel="next"` } : {}),
    },
  )
}

function listTags({ query, path }: RegistryRequest, options: RouteOptions, name: string): Reply {
  const all = options.content.tags(name)
  if (all === undefined) return errorReply(404, 'NAME_UNKNOWN', 'repository unknown')
  const last = query.get('last') ?? ''
  const count = Math.min(Number(query.get('n') ?? options.pageSize), options.pageSize)
  const after = all.filter((tag) => tag > last)
  const tags = after.slice(0, count)
  const next = new URLSearchParams({ n: String(count), last: tags.at(-1) ?? '' })
  const more = count > 0 && after.length > count
  return jsonReply(200, { name, tags }, more ? { link: `<${path}?${next.toString()}>; rel="next"` } : {})
}

/** Monolithic, streamed and chunked pushes; a mount is answered with an upload, as the spec allows. */
const uploadBlob: Route = (request, { content, uploads }, name, id) => {
  const digest = parseDigest(request.query.get('digest') ?? '')
  const session = id === '' ? randomUUID() : id
  const before = id === '' ? Buffer.alloc(0) : uploads.get(id)
  if (before === undefined) return errorReply(404, 'BLOB_UPLOAD_UNKNOWN', 'upload unknown')
  const location = `/v2/${name}/blobs/uploads/${session}`
  const bytes = Buffer.concat([before, request.body])
  const progress = (status: number): Reply => {
    uploads.set(session, bytes)
    return { status, headers: { location, range: `0-${Math.max(bytes.length - 1, 0)}` } }
  }
  const isFirst = request.method === 'POST'
  if (request.method === 'DELETE') {
    uploads.delete(session)
    return { status: 204 }
  }
  if (request.method === 'GET') return progress(204)
  if (request.method === 'PATCH' || (isFirst && digest === undefined)) return progress(202)
  if (digest === undefined || !matchesDigest(bytes, digest)) {
    return errorReply(400, 'DIGEST_INVALID', 'the blob has another digest')
  }
  uploads.delete(session)
  content.putBlob(bytes, name)
  return {
    status: 201,
    headers: { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest },
  }
}
