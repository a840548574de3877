import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest } from '../../src/oci/digest.ts'
import { pick, type Random } from '../../src/store/testing/random.ts'
import { signImage } from '../../src/testing/evidence.ts'
import { buildImage, buildIndex, descriptorOf, publishImage } from '../../src/testing/images.ts'
import type { BuiltImage, BuiltIndex } from '../../src/testing/images.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { createSigstore, type Signer, type Sigstore } from '../../src/testing/sigstore.ts'
import { createTufRepository, type TufRepository } from '../../src/testing/tuf-repository.ts'
import { freePort } from '../../test/e2e/harness/process.ts'

/** What the proxy depends on, all of it in this process and on the loopback interface. */
export type World = AsyncDisposable & {
  /** The proxy's configuration file, the port it will listen on and its database. */
  readonly configuration: string
  readonly port: number
  readonly database: string
  /** Where the proxy keeps blobs and manifests. */
  readonly content: string
  /** Signed manifests with their blobs, oldest first. */
  readonly accepted: readonly Accepted[]
  /** Tags of images that nobody signed, with their digests. */
  readonly refused: readonly Refused[]
  /** What each signed tag has pointed to, oldest first. */
  readonly tags: ReadonlyMap<string, readonly Digest[]>
  /** Publishes new images, signed and unsigned, and moves a tag. */
  grow(random: Random): Promise<void>
  /** Registry and trust repository refuse every connection until they are back. */
  goDark(): Promise<void>
  comeBack(): Promise<void>
}

export type Accepted = { readonly digest: Digest; readonly blobs: readonly Blob[] }
export type Blob = { readonly digest: Digest; readonly bytes: Buffer }
export type Refused = { readonly tag: string; readonly digest: Digest }

/** Policies are made for this repository; every image is in it. */
export const REPOSITORY = 'acme/app'

const IDENTITY = {
  issuer: 'https://token.actions.githubusercontent.com',
  subject: 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0',
}
const FORMS = ['tag', 'referrer', 'fallback-tag'] as const
/** Large enough that a kill finds blobs half written. */
const LAYER_BYTES = [20_000, 200_000, 1_000_000] as const
const MOVING_TAGS = ['latest', 'stable', 'edge'] as const

export async function createWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-crash-'))
  const registry = await startRegistry()
  const sigstore = await createSigstore()
  const targets = { 'trusted_root.json': sigstore.trustedRootJson() }
  const trust = await createTufRepository({ targets })
  const port = await freePort()
  const configuration = await writeConfiguration(directory, { registry, trust, port })
  const images = new Images(registry, sigstore, sigstore.keyless(IDENTITY))
  return {
    configuration,
    port,
    database: join(directory, 'data', 'portcullis.db'),
    content: join(directory, 'data', 'content'),
    accepted: images.accepted,
    refused: images.refused,
    tags: images.tags,
    async grow(random) {
      // What was asked for lies in memory, and nobody reads it here.
      registry.requests.length = 0
      trust.requests.length = 0
      await images.addSigned(random)
      images.addUnsigned()
      images.addUnsigned()
    },
    async goDark() {
      await registry.stop()
      await trust.fault('refused')
    },
    async comeBack() {
      await registry.restart()
      await trust.fault(undefined)
    },
    async [Symbol.asyncDispose]() {
      await registry.stop()
      await trust.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

class Images {
  readonly accepted: Accepted[] = []
  readonly refused: Refused[] = []
  readonly tags = new Map<string, Digest[]>()
  readonly #registry: TestRegistry
  readonly #sigstore: Sigstore
  readonly #signer: Signer

  constructor(registry: TestRegistry, sigstore: Sigstore, signer: Signer) {
    this.#registry = registry
    this.#sigstore = sigstore
    this.#signer = signer
  }

  /** One time in four an index with two images, which only the index's signature covers. */
  async addSigned(random: Random): Promise<void> {
    const image =
      random(4) === 0
        ? buildIndex(['amd64', 'arm64'].map((architecture) => uniqueImage(random, architecture)))
        : uniqueImage(random, 'amd64')
    const tag = pick(random, MOVING_TAGS) ?? 'latest'
    const place = { registry: this.#registry, repository: REPOSITORY, subject: descriptorOf(image) }
    publishImage(this.#registry, REPOSITORY, `signed-${this.accepted.length}`, image)
    await signImage(place, this.#sigstore, this.#signer, { form: pick(random, FORMS) ?? 'referrer' })
    publishImage(this.#registry, REPOSITORY, tag, image)
    this.accepted.push({ digest: image.digest, blobs: blobsOf(image) })
    this.tags.set(tag, [...(this.tags.get(tag) ?? []), image.digest])
  }

  addUnsigned(): void {
    const image = buildImage({ files: { 'etc/name': randomBytes(16).toString('hex') } })
    const tag = `unsigned-${this.refused.length}`
    publishImage(this.#registry, REPOSITORY, tag, image)
    this.refused.push({ tag, digest: image.digest })
  }
}

function uniqueImage(random: Random, architecture: string): BuiltImage {
  const layers = LAYER_BYTES.map((size) => ({ data: randomBytes(random(size) + 1) }))
  return buildImage({ layers, architecture })
}

/** Blobs of an index are those of its images: clients that pull it by its tag fetch them next. */
function blobsOf(image: BuiltImage | BuiltIndex): readonly Blob[] {
  return image.kind === 'image' ? image.layers.map(({ digest, bytes }) => ({ digest, bytes })) : []
}

async function writeConfiguration(
  directory: string,
  { registry, trust, port }: { registry: TestRegistry; trust: TufRepository; port: number },
): Promise<string> {
  const config = {
    listen: { data: { host: '127.0.0.1', port }, admin: { host: '127.0.0.1', port: 0 } },
    dataDirectory: 'data',
    upstreams: { [registry.host]: { url: registry.url, allowPrivateAddresses: true, retries: 0 } },
    defaultUpstream: registry.host,
    trust: { roots: { test: { kind: 'tuf', url: trust.url, root: 'root.json' } } },
    policies: { directory: 'policies' },
    // Every pull by tag asks the registry, and an image that was refused is soon looked at again.
    cache: { tagTtl: '0s', violatedTtl: '0s' },
    log: { level: 'warn' },
  }
  await mkdir(join(directory, 'policies'))
  await writeFile(join(directory, 'policies', 'crash.yaml'), policy(registry.host))
  await writeFile(join(directory, 'root.json'), trust.root())
  // JSON is YAML.
  const path = join(directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(config))
  return path
}

function policy(host: string): string {
  return JSON.stringify({
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'signed' },
    spec: {
      mode: 'enforce',
      images: [{ glob: `${host}/**` }],
      authorities: [{ name: 'release', keyless: { trustRoot: 'test', identities: [IDENTITY] } }],
    },
  })
}
