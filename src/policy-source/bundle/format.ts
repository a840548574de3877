import * as z from 'zod'
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor, Manifest } from '../../oci/manifest-types.ts'

/**
 * A policy bundle: an OCI artifact with one layer for each file, as `oras push` and `portcullis policy bundle pack` make
 * it. Everything in it is under the manifest's digest, and so under its signatures.
 */
export const ARTIFACT_TYPE = 'application/vnd.portcullis.policies.v1'
export const LAYER_TYPE = {
  policy: 'application/vnd.portcullis.policy.v1+yaml',
  key: 'application/vnd.portcullis.policy.v1+pem',
} as const
/** Path of the file, relative to the root of the set, with forward slashes. */
export const TITLE = 'org.opencontainers.image.title'
/** A whole number that only ever grows: whoever serves the registry cannot go back to an older bundle. */
export const SERIAL = 'dev.portcullis.policies.serial'
/** RFC 3339. From then on nobody takes the bundle who does not have it yet. */
export const EXPIRES = 'dev.portcullis.policies.expires'

/** All files together. Ten thousand policies have some 8 MiB. */
const BUNDLE_BYTES_MAX = 16 * 1024 * 1024
const FILE_BYTES_MAX = 1024 * 1024
const PATH_LENGTH_MAX = 255

/** At most five parts, none of which is hidden, a parent, or anything but a plain name. */
const PATH = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,4}$/
const EXTENSIONS: ReadonlyMap<string, RegExp> = new Map([
  [LAYER_TYPE.policy, /\.ya?ml$/],
  [LAYER_TYPE.key, /\.(?:pem|pub)$/],
])

const serialSchema = z
  .string()
  .regex(/^[1-9][0-9]{0,14}$/)
  .transform(Number)
const expiresSchema = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

export type BundleFile = {
  readonly path: string
  readonly kind: keyof typeof LAYER_TYPE
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>
}

export type BundleContents = {
  readonly serial: number
  readonly expires: Date | undefined
  /** In the order of the layers. */
  readonly files: readonly BundleFile[]
}

export type ContentsResult =
  | { readonly ok: true; readonly contents: BundleContents }
  | { readonly ok: false; readonly problem: string }

/** What a manifest says that the bundle holds. What it says and nobody understands is refused, not passed over. */
export function readBundleManifest(manifest: Manifest): ContentsResult {
  if (manifest.kind === 'index') return refuse('found an index, expected one artifact')
  // OCI image-spec 1.1, manifest.md: where artifactType is absent the config's type stands for it.
  const type = manifest.artifactType ?? manifest.config.mediaType
  if (type !== ARTIFACT_TYPE) return refuse(`found artifact type ${type}, expected ${ARTIFACT_TYPE}`)
  const serial = serialSchema.safeParse(manifest.annotations[SERIAL])
  if (!serial.success) return refuse(`found no annotation ${SERIAL} that is a whole number from 1`)
  const expires = expiresSchema.optional().safeParse(manifest.annotations[EXPIRES])
  if (!expires.success) return refuse(`found an annotation ${EXPIRES} that is no RFC 3339 time`)
  const files = manifest.layers.map(readLayer)
  const problem = files.find((file) => typeof file === 'string') ?? problemOfAll(manifest.layers)
  if (problem !== undefined) return refuse(problem)
  const named = files.filter((file) => typeof file !== 'string')
  return { ok: true, contents: { serial: serial.data, expires: expires.data, files: named } }
}

function refuse(problem: string): ContentsResult {
  return { ok: false, problem }
}

/** The file, or what is wrong with it. */
function readLayer({ mediaType, digest, size, annotations }: Descriptor): BundleFile | string {
  const path = annotations[TITLE]
  if (path === undefined) return `found a layer without the annotation ${TITLE}`
  if (path.length > PATH_LENGTH_MAX || !PATH.test(path))
    return `found ${JSON.stringify(path.slice(0, PATH_LENGTH_MAX))}, expected a plain relative path`
  const extension = EXTENSIONS.get(mediaType)
  if (extension === undefined) return `found ${path} of type ${mediaType}, expected ${typesText()}`
  if (!extension.test(path)) return `found ${path} of type ${mediaType}, whose name says another`
  if (size > FILE_BYTES_MAX) return `found ${path} of ${size} bytes, expected at most ${FILE_BYTES_MAX}`
  return { path, kind: mediaType === LAYER_TYPE.policy ? 'policy' : 'key', descriptor: { digest, size } }
}

function typesText(): string {
  return [...EXTENSIONS.keys()].join(' or ')
}

function problemOfAll(layers: readonly Descriptor[]): string | undefined {
  const bytes = layers.reduce((sum, { size }) => sum + size, 0)
  if (bytes > BUNDLE_BYTES_MAX) return `found ${bytes} bytes of files, expected at most ${BUNDLE_BYTES_MAX}`
  // Without case, since somebody will unpack it to a disk that has none.
  const seen = new Set<string>()
  for (const { annotations } of layers) {
    const path = (annotations[TITLE] ?? '').toLowerCase()
    if (seen.has(path)) return `found ${path} twice`
    seen.add(path)
  }
  return layers.some(({ mediaType }) => mediaType === LAYER_TYPE.policy) ? undefined : 'found no policy file'
}

export type BundleVersion = { readonly digest: Digest; readonly serial: number }

/** Why a bundle must not follow the one that was in force last; undefined where it may. */
export function rollbackProblem(next: BundleVersion, last: BundleVersion | undefined): string | undefined {
  if (last === undefined || next.serial > last.serial || next.digest === last.digest) return undefined
  if (next.serial === last.serial) {
    return `found serial ${next.serial}, which is that of ${last.digest} already; every bundle needs a serial of its own`
  }
  return (
    `found serial ${next.serial}, but ${last.serial} was in force: a bundle is never rolled back; ` +
    `to go back, sign the older policies under a higher serial`
  )
}
