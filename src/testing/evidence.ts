import { digestOf, digestParts, type Digest } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { bundleJson, cosignLayer, stampedLayer, type CosignLayer } from './cosign-layer.ts'
import type { SubjectDescriptor } from './images.ts'
import { readManifest, referrerDescriptor } from './registry-content.ts'
import type { TestRegistry } from './registry.ts'
import type { Bundle, MintOptions, Signer, Sigstore } from './sigstore.ts'
import { cosignSignStatement, simpleSigningPayload, type StatementJson } from './statements.ts'

/** Where evidence is put for a subject. */
export type Place = {
  readonly registry: TestRegistry
  readonly repository: string
  readonly subject: SubjectDescriptor
}

export type Attached = { readonly manifest: Digest; readonly blob: Digest }

/**
 * `tag`: `.sig` or `.att`, as cosign 1 and 2. `referrer`: a bundle found by the referrers API, as cosign 3 and GitHub.
 * `fallback-tag`: the same, listed in the index under the subject's own tag, as for registries without that API.
 */
export type EvidenceForm = 'tag' | 'referrer' | 'fallback-tag'

export type EvidenceOptions = MintOptions & {
  /** Default `referrer`. */
  readonly form?: EvidenceForm
  /** Only for `.sig`: annotations in the payload's `optional`. */
  readonly optional?: Record<string, unknown>
}

const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json'
const EMPTY = Buffer.from('{}')

/** "This image is signed", as the cosign of that form says it. */
export async function signImage(
  place: Place,
  sigstore: Sigstore,
  signer: Signer,
  options: EvidenceOptions = {},
): Promise<Attached> {
  const { registry, repository, subject } = place
  const { form = 'referrer', optional, ...mint } = options
  if (form === 'tag') {
    const payload = simpleSigningPayload(`${registry.host}/${repository}`, subject.digest, optional)
    const bundle = await sigstore.message(payload, signer, mint)
    return attachLayer(place, 'sig', cosignLayer(bundle, payload))
  }
  return attachBundle(place, await sigstore.dsse(cosignSignStatement(subject.digest), signer, mint), form)
}

/** A statement about the image; `statement` names its own subject, so it may be about another one. */
export async function attestImage(
  place: Place,
  sigstore: Sigstore,
  { statement, signer }: { statement: StatementJson; signer: Signer },
  options: EvidenceOptions = {},
): Promise<Attached> {
  const { form = 'referrer', optional: _, ...mint } = options
  const bundle = await sigstore.dsse(statement, signer, mint)
  if (form !== 'tag') return attachBundle(place, bundle, form)
  const layer = cosignLayer(bundle, Buffer.alloc(0))
  const stamped = mint.timestamp === true ? stampedLayer(layer, await sigstore.stamp(layer.bytes)) : layer
  return attachLayer(place, 'att', stamped)
}

/** Adds a layer to `sha256-<hex>.sig` or `.att`, keeping those that are there. */
export function attachLayer(place: Place, suffix: 'sig' | 'att', layer: CosignLayer): Attached {
  const { registry, repository, subject } = place
  const blob = registry.putBlob(layer.bytes, repository)
  const tag = `${fallbackTag(subject.digest)}.${suffix}`
  const { mediaType, annotations, bytes } = layer
  const layers = [
    ...existing(registry.manifest(repository, tag)?.bytes, 'layers'),
    { mediaType, size: bytes.length, digest: blob, annotations },
  ]
  const config = Buffer.from(
    JSON.stringify({
      architecture: '',
      created: '0001-01-01T00:00:00Z',
      os: '',
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
      config: {},
    }),
  )
  const manifest = registry.putManifest(repository, tag, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      size: config.length,
      digest: registry.putBlob(config, repository),
    },
    layers,
  })
  return { manifest, blob }
}

/** A bundle as an OCI 1.1 artifact whose subject is the image: cosign's and GitHub's bundle specification. */
export function attachBundle(
  place: Place,
  bundle: Bundle | Buffer,
  form: 'referrer' | 'fallback-tag' = 'referrer',
): Attached {
  const { registry, repository, subject } = place
  const bytes = Buffer.isBuffer(bundle) ? bundle : bundleJson(bundle)
  const blob = registry.putBlob(bytes, repository)
  registry.putBlob(EMPTY, repository)
  const json = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType: BUNDLE_TYPE,
      config: { mediaType: EMPTY_TYPE, digest: digestOf(EMPTY), size: EMPTY.length },
      layers: [{ mediaType: BUNDLE_TYPE, digest: blob, size: bytes.length }],
      // Without the API the subject would still be found by a registry that has it: clients leave it in.
      subject,
      annotations: Buffer.isBuffer(bundle) ? {} : bundleAnnotations(bundle),
    }),
  )
  const manifest = registry.putManifest(repository, undefined, json, MEDIA_TYPE.ociManifest)
  if (form === 'fallback-tag') {
    const tag = fallbackTag(subject.digest)
    const manifests = [
      ...existing(registry.manifest(repository, tag)?.bytes, 'manifests'),
      referrerDescriptor({ bytes: json, digest: manifest, mediaType: MEDIA_TYPE.ociManifest }),
    ]
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }
    registry.putManifest(repository, tag, index, MEDIA_TYPE.ociIndex)
  }
  return { manifest, blob }
}

/** distribution-spec 1.1 "Referrers Tag Schema". */
export function fallbackTag(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest)
  return `${algorithm}-${hex}`
}

function bundleAnnotations({ content }: Bundle): Record<string, string> {
  const created = { 'org.opencontainers.image.created': new Date(0).toISOString() }
  if (content.$case === 'messageSignature') {
    return { ...created, 'dev.sigstore.bundle.content': 'message-signature' }
  }
  const statement: { predicateType?: string } = JSON.parse(content.dsseEnvelope.payload.toString())
  return {
    ...created,
    'dev.sigstore.bundle.content': 'dsse-envelope',
    'dev.sigstore.bundle.predicateType': statement.predicateType ?? '',
  }
}

function existing(bytes: Buffer | undefined, list: 'layers' | 'manifests'): readonly { digest: string }[] {
  return bytes === undefined ? [] : (readManifest(bytes)[list] ?? [])
}
