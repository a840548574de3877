import { parseDigest } from './digest.ts'
import { foldKey } from './json-text.ts'
import { ManifestError } from './manifest-error.ts'
import type { Descriptor } from './manifest-types.ts'

const TEXT_LENGTH_MAX = 255
const URLS_MAX = 16

export type JsonObject = Readonly<Record<string, unknown>>

/** Field names, as they are spelled and by fold. */
export type FieldNames = {
  readonly spelled: ReadonlySet<string>
  readonly byFold: ReadonlyMap<string, string>
}

export function fieldNames(...names: readonly string[]): FieldNames {
  return { spelled: new Set(names), byFold: new Map(names.map((name) => [foldKey(name), name])) }
}

const DESCRIPTOR_FIELDS = fieldNames(
  'mediaType',
  'digest',
  'size',
  'urls',
  'annotations',
  'data',
  'platform',
  'artifactType',
)
const PLATFORM_FIELDS = fieldNames('architecture', 'os', 'os.version', 'os.features', 'variant', 'features')
const PRINTABLE = /^[\x20-\x7e]+$/
/** No user info, no backslash and no relative form: the places where URL parsers disagree about the host. */
const FOREIGN_URL = /^https?:\/\/[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:\/[!-[\]-~]*)?$/

/**
 * The object at `where`. Refuses a key that only a reader without case (every Go client) takes for a known field:
 * `URLs` is invisible to JavaScript and `urls` to containerd.
 */
export function readObject(value: unknown, where: string, known: FieldNames): JsonObject {
  if (!isObject(value)) throw new ManifestError('field', `has no object for ${where}`)
  for (const key of Object.keys(value)) {
    if (known.spelled.has(key)) continue
    const name = known.byFold.get(foldKey(key))
    if (name !== undefined) throw new ManifestError('ambiguous', `spells ${name} in another case in ${where}`)
  }
  return value
}

/** OCI image-spec 1.1 descriptor.md. `where` names the descriptor in error messages. */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const fields = readObject(value, where, DESCRIPTOR_FIELDS)
  const mediaType = readText(fields, 'mediaType', where)
  if (mediaType === undefined) throw new ManifestError('field', `has no mediaType for ${where}`)
  const digestText = fields['digest']
  const digest = typeof digestText === 'string' ? parseDigest(digestText) : undefined
  if (digest === undefined) throw new ManifestError('field', `has no valid digest for ${where}`)
  const size = fields['size']
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new ManifestError('field', `has no valid size for ${where}`)
  }
  const artifactType = readText(fields, 'artifactType', where)
  const urls = readUrls(fields, where)
  const platform = readPlatform(fields, where)
  return {
    mediaType,
    digest,
    size,
    annotations: readAnnotations(fields, where),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(urls.length === 0 ? {} : { urls }),
    ...(platform === undefined ? {} : { platform }),
  }
}

/** An optional text of printable ASCII; null and, as Go writes an absent one, the empty text are absent. */
export function readText(fields: JsonObject, name: string, where: string): string | undefined {
  const value = fields[name]
  if (isAbsent(value) || value === '') return undefined
  if (typeof value !== 'string' || value.length > TEXT_LENGTH_MAX || !PRINTABLE.test(value)) {
    throw new ManifestError('field', `has no valid ${name} for ${where}`)
  }
  return value
}

/** An array of at most `entriesMax` descriptors. */
export function readDescriptors(fields: JsonObject, name: string, entriesMax: number): Descriptor[] {
  const value = fields[name]
  if (!Array.isArray(value)) throw new ManifestError('field', `has no array of ${name}`)
  if (value.length > entriesMax) throw new ManifestError('limit', `has more than ${entriesMax} ${name}`)
  return value.map((entry, index) => parseDescriptor(entry, `${name}[${index}]`))
}

export function readAnnotations(fields: JsonObject, where: string): Readonly<Record<string, string>> {
  const value = fields['annotations']
  if (isAbsent(value)) return {}
  if (!isObject(value) || !hasOnlyTexts(value)) {
    throw new ManifestError('field', `has annotations that are not texts for ${where}`)
  }
  return value
}

export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

function readUrls(fields: JsonObject, where: string): readonly string[] {
  const value = fields['urls']
  if (isAbsent(value)) return []
  if (!Array.isArray(value)) throw new ManifestError('field', `has no array of urls for ${where}`)
  if (value.length > URLS_MAX) throw new ManifestError('limit', `has more than ${URLS_MAX} urls for ${where}`)
  return value.map((url: unknown) => {
    if (typeof url !== 'string' || !FOREIGN_URL.test(url) || !URL.canParse(url)) {
      throw new ManifestError('field', `has a url that is no plain http URL for ${where}`)
    }
    return url
  })
}

function readPlatform(fields: JsonObject, where: string): Descriptor['platform'] {
  const value = fields['platform']
  if (isAbsent(value)) return undefined
  const platform = readObject(value, `${where} platform`, PLATFORM_FIELDS)
  const variant = readText(platform, 'variant', where)
  return {
    os: readText(platform, 'os', where) ?? '',
    architecture: readText(platform, 'architecture', where) ?? '',
    ...(variant === undefined ? {} : { variant }),
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function hasOnlyTexts(value: JsonObject): value is Readonly<Record<string, string>> {
  return Object.values(value).every((text) => typeof text === 'string')
}
