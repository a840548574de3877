import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { signImage } from '../../src/testing/evidence.ts'
import { buildImage, descriptorOf, publishImage, type BuiltImage } from '../../src/testing/images.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { createSigstore, managedSigner, type Signer, type Sigstore } from '../../src/testing/sigstore.ts'
import type { PortcullisOptions } from '../peers.ts'
import type { Span } from './waves.ts'

/** `key`: a P-256 key, under the `.sig` tag as cosign 2 has it. `keyless`: a bundle with certificate and log entry, as referrer. */
export const SIGNATURES = ['key', 'keyless'] as const
export type Signature = (typeof SIGNATURES)[number]

export type ColdImage = {
  readonly signature: Signature
  /** Of its own, so that nothing of another image is known about it. */
  readonly repository: string
  readonly digest: Digest
  readonly manifest: Buffer
  /** What a client would ask for that verifies by itself, wave by wave, the manifest first. */
  readonly evidence: readonly (readonly string[])[]
}

export const TAG = 'v1'
/** Requests of this user agent are nobody's pull through the proxy. */
export const DIRECT = 'direct'
export const IDENTITY = {
  issuer: 'https://issuer.example.test',
  subject: 'https://ci.example.test/acme/app/release.yml@refs/tags/v1',
}
const LAYERS = 12

/** A registry far away, and signed images in it. */
export type ColdWorld = AsyncDisposable & {
  readonly registry: TestRegistry
  /** `127.0.0.1:port` */
  readonly host: string
  publish(signature: Signature, name: string, count: number): Promise<readonly ColdImage[]>
  /** How long every answer takes. */
  setRoundTrip(ms: number): void
  /** What the proxy asked for since this was called last, by repository. */
  takeSpans(): ReadonlyMap<string, readonly Span[]>
  /** Of a proxy before this registry; `directory` is its own. */
  proxyOptions(directory: string, more?: More): Promise<PortcullisOptions>
}

/** Beside what judges the images of this world. */
type More = {
  readonly policies?: readonly object[]
  /** `trust.roots` */
  readonly roots?: Readonly<Record<string, object>>
  readonly config?: Readonly<Record<string, unknown>>
}

export async function createColdWorld(): Promise<ColdWorld> {
  const registry = await startRegistry()
  const sigstore = await createSigstore()
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const signers = { key: managedSigner(pair), keyless: sigstore.keyless(IDENTITY) }
  const base = buildImage({
    layers: Array.from({ length: LAYERS }, (_, layer) => ({ [`file-${layer}`]: `layer ${layer}\n` })),
  })
  const spans = recordSpans(registry)
  return {
    registry,
    host: registry.host,
    publish: (signature, name, count) =>
      Promise.all(
        Array.from({ length: count }, async (_, index) => {
          const repository = `${signature}/${name}-${index}`
          return await publishOne(
            { registry, sigstore, signer: signers[signature] },
            { signature, repository, base },
          )
        }),
      ),
    ...spans,
    proxyOptions: (directory, more = {}) =>
      optionsFor(directory, { upstream: registry.host, publicKey: pair.publicKey, sigstore }, more),
    [Symbol.asyncDispose]: () => registry.stop(),
  }
}

function recordSpans(registry: TestRegistry): Pick<ColdWorld, 'setRoundTrip' | 'takeSpans'> {
  let roundTripMs = 0
  let spans = new Map<string, Span[]>()
  registry.behave(async ({ url, headers }) => {
    const startMs = performance.now()
    if (roundTripMs > 0) await pause(roundTripMs)
    if (headers['user-agent'] === DIRECT) return undefined
    const repository = /^\/v2\/(.+)\/(?:manifests|referrers|blobs)\//.exec(url)?.[1] ?? url
    const seen = spans.get(repository) ?? []
    seen.push({ startMs, endMs: performance.now() })
    spans.set(repository, seen)
    return undefined
  })
  return {
    setRoundTrip: (ms) => (roundTripMs = ms),
    takeSpans() {
      const taken = spans
      spans = new Map()
      // It keeps everything that was ever asked, and nobody reads it here.
      registry.requests.length = 0
      return taken
    },
  }
}

type Signing = { readonly registry: TestRegistry; readonly sigstore: Sigstore; readonly signer: Signer }

/** All share their layers: what differs is the manifest, which is what is signed and judged. */
async function publishOne(
  { registry, sigstore, signer }: Signing,
  { signature, repository, base }: { signature: Signature; repository: string; base: BuiltImage },
): Promise<ColdImage> {
  const fields: object = JSON.parse(base.manifest.toString())
  const annotations = { 'org.opencontainers.image.title': repository }
  const manifest = Buffer.from(JSON.stringify({ ...fields, annotations }))
  const image = { ...base, manifest, digest: digestOf(manifest) }
  publishImage(registry, repository, TAG, image)
  const place = { registry, repository, subject: descriptorOf(image) }
  const how = signature === 'key' ? ({ form: 'tag', log: 0 } as const) : ({ form: 'referrer' } as const)
  const signed = await signImage(place, sigstore, signer, how)
  const root = `/v2/${repository}`
  const tags = ['', '.sig', '.att'].map(
    (suffix) => `${root}/manifests/${image.digest.replace(':', '-')}${suffix}`,
  )
  return {
    signature,
    repository,
    digest: image.digest,
    manifest,
    evidence: [
      [`${root}/manifests/${TAG}`],
      [`${root}/referrers/${image.digest}`, ...tags],
      ...(signature === 'keyless' ? [[`${root}/manifests/${signed.manifest}`]] : []),
      [`${root}/blobs/${signed.blob}`],
    ],
  }
}

/** More than are ever asked at once: what is measured is the proxy, and not how long its queue to the registry is. */
const UPSTREAM_CONCURRENCY = 1024

async function optionsFor(
  directory: string,
  { upstream, publicKey, sigstore }: { upstream: string; publicKey: KeyObject; sigstore: Sigstore },
  { policies = [], roots = {}, config = {} }: More,
): Promise<PortcullisOptions> {
  await mkdir(directory, { recursive: true })
  const root = join(directory, 'trusted_root.json')
  await writeFile(root, sigstore.trustedRootJson())
  const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString()
  return {
    directory,
    upstream,
    policies: [
      policyFor('key', { key: { data: pem } }),
      policyFor('keyless', { keyless: { trustRoot: 'ours', identities: [IDENTITY] } }),
      ...policies,
    ],
    config: {
      upstreams: {
        'registry.test': {
          url: `http://${upstream}`,
          allowPrivateAddresses: true,
          concurrency: UPSTREAM_CONCURRENCY,
        },
      },
      trust: { roots: { ours: { kind: 'pinned', path: root }, ...roots } },
      ...config,
    },
  }
}

/** For all images below `registry.test/NAME`. */
export function policyFor(name: string, authority: object): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name },
    spec: {
      mode: 'enforce',
      images: [{ glob: `registry.test/${name}/**` }],
      authorities: [{ name: 'release', ...authority }],
    },
  }
}
