import { parseDigest, type Digest } from '../oci/digest.ts'
import {
  isRepositoryName,
  parseRegistry,
  parseTag,
  splitRegistry,
  type ManifestReference,
  type Tag,
} from '../oci/reference.ts'
import { parseQuery, type Query } from './query.ts'

const TARGET_LENGTH_MAX = 4096

/**
 * What a request asks for. Every value is checked for its grammar and otherwise as the client sent it; which registry
 * it means is for the router. `name` may begin with a registry (`ghcr.io/acme/app`).
 */
export type Target = {
  /** The namespace that containerd names in `?ns=`. */
  readonly ns: string | undefined
  /** The namespace before `/v2/`, from clients whose mirror URL has a path. */
  readonly prefix: string | undefined
} & (
  | { readonly kind: 'ping' }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: ManifestReference }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'tags'; readonly name: string; readonly n?: number; readonly last?: Tag }
  | {
      readonly kind: 'referrers'
      readonly name: string
      readonly digest: Digest
      readonly artifactType?: string
    }
)

/** `code` is an error code of OCI distribution-spec 1.1; `message` one clause without anything that the client sent. */
export type TargetError = {
  readonly ok: false
  readonly status: 400 | 404 | 405
  readonly code: 'NAME_INVALID' | 'DIGEST_INVALID' | 'MANIFEST_UNKNOWN' | 'UNSUPPORTED'
  readonly message: string
}

export type ParsedTarget = { readonly ok: true; readonly target: Target } | TargetError

const ARTIFACT_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+;= -]*$/
const ARTIFACT_TYPE_LENGTH_MAX = 255
const PAGE_SIZE = /^(?:0|[1-9][0-9]{0,8})$/
const PRINTABLE = /^\/[\x21-\x7e]*$/
/** Everything for which some server or cache in between knows a second spelling. */
const SECOND_SPELLING = /[%\\#]|\/\/|\/\.{1,2}(?:\/|$)/

/**
 * Parses a request target in origin form (RFC 9112 section 3.2.1) as it came, before anything has decoded or normalised
 * it. Nothing is repaired: a path has one spelling, and every other one is refused.
 */
export function parseTarget(raw: string): ParsedTarget {
  if (raw.length > TARGET_LENGTH_MAX) return refuse(400, 'UNSUPPORTED', 'the request target is too long')
  if (!PRINTABLE.test(raw)) return refuse(400, 'UNSUPPORTED', 'the request target is not in origin form')
  const mark = raw.indexOf('?')
  const path = mark === -1 ? raw : raw.slice(0, mark)
  if (SECOND_SPELLING.test(path)) return refuse(400, 'NAME_INVALID', 'the path is encoded or not normal')
  const query = parseQuery(mark === -1 ? undefined : raw.slice(mark + 1))
  if (query === undefined)
    return refuse(400, 'UNSUPPORTED', 'the query is malformed or names a parameter twice')
  const ns = query.get('ns')
  if (ns !== undefined && parseRegistry(ns) === undefined) {
    return refuse(400, 'NAME_INVALID', 'ns is not a registry')
  }
  return parsePath(path.slice(1).split('/'), query)
}

function parsePath(segments: readonly string[], query: Query): ParsedTarget {
  const [first = '', second] = segments
  if (first === 'v1') return refuse(405, 'UNSUPPORTED', 'the version 1 API is not served')
  if (first === 'v2')
    return parseEndpoint(segments.slice(1), { ns: query.get('ns'), prefix: undefined }, query)
  if (second !== 'v2') return refuse(404, 'UNSUPPORTED', 'no such path')
  if (parseRegistry(first) === undefined) {
    return refuse(400, 'NAME_INVALID', 'the path before /v2/ is not a registry')
  }
  return parseEndpoint(segments.slice(2), { ns: query.get('ns'), prefix: first }, query)
}

/**
 * `<name>/manifests/<reference>` and its like. A reference never holds a slash, so the last two segments say which
 * endpoint it is, and a name with such a word in it (`a/manifests/b`) stays a name.
 */
function parseEndpoint(segments: readonly string[], namespace: Namespace, query: Query): ParsedTarget {
  if (segments.join('/') === '') return { ok: true, target: { kind: 'ping', ...namespace } }
  if (isForeignEndpoint(segments))
    return refuse(405, 'UNSUPPORTED', 'this endpoint is not served by a mirror')
  const endpoint = endpointOf(segments)
  if (endpoint === undefined) return refuse(404, 'UNSUPPORTED', 'no such endpoint')
  const name = segments.slice(0, -2).join('/')
  if (!isName(name)) return refuse(400, 'NAME_INVALID', 'the repository name is not valid')
  const place = { name, ...namespace }
  const last = segments.at(-1) ?? ''
  switch (endpoint) {
    case 'manifests':
      return parseManifestTarget(place, last)
    case 'blobs':
      return parseBlob(place, last)
    case 'referrers':
      return parseReferrers(place, last, query)
    case 'tags':
      return parseTags(place, query)
  }
}

type Namespace = Pick<Target, 'ns' | 'prefix'>
type Place = Namespace & { readonly name: string }

function parseManifestTarget(place: Place, text: string): ParsedTarget {
  if (text.includes(':')) {
    const digest = parseDigest(text)
    if (digest === undefined) return badDigest()
    return { ok: true, target: { kind: 'manifest', reference: { kind: 'digest', digest }, ...place } }
  }
  const tag = parseTag(text)
  if (tag === undefined) return refuse(404, 'MANIFEST_UNKNOWN', 'no manifest can have such a tag')
  return { ok: true, target: { kind: 'manifest', reference: { kind: 'tag', tag }, ...place } }
}

function parseBlob(place: Place, text: string): ParsedTarget {
  const digest = parseDigest(text)
  return digest === undefined ? badDigest() : { ok: true, target: { kind: 'blob', digest, ...place } }
}

function parseReferrers(place: Place, text: string, query: Query): ParsedTarget {
  const digest = parseDigest(text)
  if (digest === undefined) return badDigest()
  const artifactType = query.get('artifactType')
  if (artifactType === undefined) return { ok: true, target: { kind: 'referrers', digest, ...place } }
  if (artifactType.length > ARTIFACT_TYPE_LENGTH_MAX || !ARTIFACT_TYPE.test(artifactType)) {
    return refuse(400, 'UNSUPPORTED', 'artifactType is not a media type')
  }
  return { ok: true, target: { kind: 'referrers', digest, artifactType, ...place } }
}

function parseTags(place: Place, query: Query): ParsedTarget {
  const n = query.get('n')
  if (n !== undefined && !PAGE_SIZE.test(n)) return refuse(400, 'UNSUPPORTED', 'n is not a number of tags')
  const text = query.get('last')
  const last = text === undefined ? undefined : parseTag(text)
  if (text !== undefined && last === undefined) return refuse(400, 'UNSUPPORTED', 'last is not a tag')
  const page = { ...(n === undefined ? {} : { n: Number(n) }), ...(last === undefined ? {} : { last }) }
  return { ok: true, target: { kind: 'tags', ...page, ...place } }
}

function endpointOf(segments: readonly string[]): 'manifests' | 'blobs' | 'referrers' | 'tags' | undefined {
  const word = segments.at(-2)
  if (word === 'manifests' || word === 'blobs' || word === 'referrers') return word
  return word === 'tags' && segments.at(-1) === 'list' ? word : undefined
}

/** Catalog, extensions and uploads: parts of the API that a pull-only mirror of others' registries has not. */
function isForeignEndpoint(segments: readonly string[]): boolean {
  const [first] = segments
  if (first === '_catalog' || first === '_oci') return true
  const upload = segments.lastIndexOf('uploads')
  return upload > 0 && segments[upload - 1] === 'blobs' && segments.length - upload <= 2
}

function isName(text: string): boolean {
  if (isRepositoryName(text)) return true
  const { registry, name } = splitRegistry(text)
  return registry !== undefined && parseRegistry(registry) !== undefined && isRepositoryName(name)
}

function badDigest(): TargetError {
  return refuse(400, 'DIGEST_INVALID', 'the digest is not valid')
}

function refuse(status: TargetError['status'], code: TargetError['code'], message: string): TargetError {
  return { ok: false, status, code, message }
}
