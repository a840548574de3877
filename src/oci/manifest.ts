import {
  fieldNames,
  isAbsent,
  parseDescriptor,
  readAnnotations,
  readDescriptors,
  readObject,
  readText,
  type JsonObject,
} from './descriptor.ts'
import type { Digest } from './digest.ts'
import { EVIDENCE_BLOB_BYTES_MAX, EVIDENCE_CONFIG_TYPES, EVIDENCE_LAYER_TYPES } from './evidence-types.ts'
import { topLevelNames } from './json-text.ts'
import { ManifestError } from './manifest-error.ts'
import { MANIFEST_BYTES_MAX, MEDIA_TYPE, type Descriptor, type Manifest } from './manifest-types.ts'
import { finish, STEP_BYTES, type Steps } from './steps.ts'
import { parseStrictJson, StrictJsonError } from './strict-json.ts'

const MANIFESTS_MAX = 1000
const LAYERS_MAX = 1000
const EVIDENCE_LAYERS_MAX = 100
/** Of the whole manifest. A cosign signature has five, an entry of an index two or three; all else is for show. */
const ANNOTATIONS_MAX = 5_000
/** Of the whole manifest. Foreign layers of Windows have one or two each. */
const URLS_MAX = 1000

const MANIFEST_FIELDS = fieldNames(
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'subject',
  'annotations',
  // Schema 1 and the withdrawn OCI artifact manifest: known so that no spelling of them passes as unknown.
  'fsLayers',
  'history',
  'signatures',
  'blobs',
)

const KIND_OF: ReadonlyMap<string, Manifest['kind']> = new Map([
  [MEDIA_TYPE.ociIndex, 'index'],
  [MEDIA_TYPE.dockerList, 'index'],
  [MEDIA_TYPE.ociManifest, 'image'],
  [MEDIA_TYPE.dockerManifest, 'image'],
])

/** Keys that make a document a manifest to somebody. */
const TELLING_KEYS = ['MANIFESTS', 'FSLAYERS', 'LAYERS', 'CONFIG', 'SCHEMAVERSION']
/** JSON white space, and the bytes of the byte order mark, which some readers skip. */
const SKIPPED_BYTES = Uint8Array.from({ length: 256 }, (_, byte) =>
  [0x20, 0x09, 0x0d, 0x0a, 0xef, 0xbb, 0xbf].includes(byte) ? 1 : 0,
)
const OPEN_OBJECT = 0x7b

/** Docker image manifest schema 1. The signed form's digest is not taken over its bytes. */
const SCHEMA_1 = new Set([
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
])

/**
 * Parses a manifest so strictly that every client sees the same one (CVE-2021-41190). `contentType` is the header that
 * came with the bytes; undefined where they did not come by HTTP. Throws ManifestError.
 */
export function parseManifest(bytes: Buffer, contentType: string | undefined): Manifest {
  const header = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  if (bytes.length > MANIFEST_BYTES_MAX) {
    throw new ManifestError('too-large', `is larger than ${MANIFEST_BYTES_MAX} bytes`)
  }
  const fields = readObject(parseJson(bytes), 'its root', MANIFEST_FIELDS)
  const kind = readKind(fields, header)
  const artifactType = readText(fields, 'artifactType', 'its root')
  const common = {
    mediaType: readMediaType(fields, kind, header),
    annotations: readAnnotations(fields, 'its root'),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(isAbsent(fields['subject']) ? {} : { subject: parseDescriptor(fields['subject'], 'subject') }),
  }
  if (kind === 'index') {
    const manifests = readDescriptors(fields, 'manifests', MANIFESTS_MAX)
    checkTotals(manifests, common)
    return { kind, ...common, manifests }
  }
  const config = parseDescriptor(fields['config'], 'config')
  const layers = readDescriptors(fields, 'layers', LAYERS_MAX)
  checkTotals([config, ...layers], common)
  return { kind, ...common, config, layers }
}

/** The digests that a manifest names as its content, each once; `subject` is not content. */
export function closureOf(manifest: Manifest): { children: Digest[]; blobs: Digest[] } {
  if (manifest.kind === 'index') return { children: digestsOf(manifest.manifests), blobs: [] }
  return { children: [], blobs: digestsOf([manifest.config, ...manifest.layers]) }
}

/** Hosts, with port where it is not the scheme's, that clients may fetch content from instead of the registry. */
export function foreignUrls(manifest: Manifest): string[] {
  const content = manifest.kind === 'index' ? manifest.manifests : [manifest.config, ...manifest.layers]
  const descriptors = manifest.subject === undefined ? content : [...content, manifest.subject]
  const hosts = descriptors.flatMap(({ urls }) => (urls ?? []).map((url) => new URL(url).host))
  return [...new Set(hosts)]
}

/**
 * Whether some client could read the bytes as an image manifest, an index or schema 1; then they are no blob and only
 * leave by the manifest route. Far more lenient than parseManifest: it looks for keys without case, at whatever is
 * wrong with the JSON. The caller limits bytes, and may let others have their turn between two steps; given a prefix, it
 * answers about the keys in the prefix.
 */
export function* manifestLook(bytes: Buffer): Steps<boolean> {
  let start = 0
  for (; SKIPPED_BYTES[bytes[start] ?? 0] === 1; start++) if (start % STEP_BYTES === STEP_BYTES - 1) yield
  if (bytes[start] !== OPEN_OBJECT) return false
  const keys = yield* topLevelNames(start === 0 ? bytes : bytes.subarray(start), TELLING_KEYS)
  if (keys.has('MANIFESTS') || keys.has('FSLAYERS')) return true
  // A schemaVersion alone is nothing that runs: scanners' reports have one too.
  return keys.has('LAYERS') && (keys.has('CONFIG') || keys.has('SCHEMAVERSION'))
}

/** `manifestLook` in one go. */
export function looksLikeManifest(bytes: Buffer): boolean {
  return finish(manifestLook(bytes))
}

/**
 * Whether a manifest, by its content and not by its tag, carries only signatures, attestations and SBOMs, so that it
 * may be served without a policy's verdict. Media types are claims: docker's classic store and containers/image unpack
 * a layer by its bytes whatever its type, so a blob that leaves under this exemption must also be `isEvidenceBlob` (evidence-blob.ts).
 */
export function isEvidenceManifest(manifest: Manifest): boolean {
  if (manifest.kind === 'index') return false
  const { config, layers } = manifest
  if (layers.length === 0 || layers.length > EVIDENCE_LAYERS_MAX) return false
  if (!EVIDENCE_CONFIG_TYPES.has(config.mediaType)) return false
  if (!layers.every(({ mediaType }) => EVIDENCE_LAYER_TYPES.has(mediaType))) return false
  return [config, ...layers].every(({ size, urls }) => urls === undefined && size <= EVIDENCE_BLOB_BYTES_MAX)
}

/** What each descriptor may have a little of, all together: the event loop goes through it, whoever parsed it. */
function checkTotals(content: readonly Descriptor[], root: Pick<Manifest, 'annotations'>): void {
  const annotations = [root, ...content].reduce((sum, one) => sum + Object.keys(one.annotations).length, 0)
  if (annotations > ANNOTATIONS_MAX) {
    throw new ManifestError('limit', `has more than ${ANNOTATIONS_MAX} annotations`)
  }
  const urls = content.reduce((sum, one) => sum + (one.urls?.length ?? 0), 0)
  if (urls > URLS_MAX) throw new ManifestError('limit', `has more than ${URLS_MAX} urls`)
}

function parseJson(bytes: Buffer): unknown {
  try {
    return parseStrictJson(bytes)
  } catch (cause) {
    if (!(cause instanceof StrictJsonError)) throw cause
    const ambiguous = cause.code === 'duplicate-key' || cause.code === 'case-variant-key'
    throw new ManifestError(ambiguous ? 'ambiguous' : 'json', cause.message, cause)
  }
}

function readKind(fields: JsonObject, header: string | undefined): Manifest['kind'] {
  const has = (key: string) => Object.hasOwn(fields, key)
  if (fields['schemaVersion'] === 1 || has('fsLayers') || (header !== undefined && SCHEMA_1.has(header))) {
    throw new ManifestError('schema', 'is of schema 1, which is not served')
  }
  if (fields['schemaVersion'] !== 2) throw new ManifestError('schema', 'has a schemaVersion other than 2')
  if (!has('manifests')) {
    if (has('layers') && has('config')) return 'image'
    throw new ManifestError('schema', 'is neither an image manifest nor an index')
  }
  if (has('layers') || has('config') || has('blobs')) {
    throw new ManifestError('ambiguous', 'is both an image manifest and an index')
  }
  return 'index'
}

/** OCI leaves the body's mediaType optional: then the header decides, and where it says nothing the shape does. */
function readMediaType(fields: JsonObject, kind: Manifest['kind'], header: string | undefined): string {
  const body = readText(fields, 'mediaType', 'its root')
  if (body !== undefined && header !== undefined && header !== '' && header !== body) {
    throw new ManifestError('media-type', 'came with a Content-Type that is not its mediaType')
  }
  const named = body ?? (header !== undefined && KIND_OF.has(header) ? header : undefined)
  if (named === undefined) return kind === 'index' ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest
  const namedKind = KIND_OF.get(named)
  if (namedKind === undefined) throw new ManifestError('media-type', 'has a mediaType that is not served')
  if (namedKind !== kind) throw new ManifestError('media-type', `is an ${kind} but says ${named}`)
  return named
}

function digestsOf(descriptors: readonly Descriptor[]): Digest[] {
  return [...new Set(descriptors.map(({ digest }) => digest))]
}
