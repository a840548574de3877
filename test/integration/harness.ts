import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configure } from '../../src/cli/configure.ts'
import { start, type Running } from '../../src/cli/serve.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { signImage, type EvidenceOptions, type Place } from '../../src/testing/evidence.ts'
import {
  buildImage,
  buildIndex,
  descriptorOf,
  publishImage,
  type BuiltImage,
  type BuiltIndex,
} from '../../src/testing/images.ts'
import { startRegistry, type RegistryOptions, type TestRegistry } from '../../src/testing/registry.ts'
import { createSigstore, type Signer, type Sigstore } from '../../src/testing/sigstore.ts'
import { requestTo, type Reply, type RequestOptions } from './http.ts'

/** A registry, a private Sigstore, and the whole proxy as `portcullis serve` runs it, on the loopback interface. */
export type Harness = AsyncDisposable & {
  readonly registry: TestRegistry
  readonly sigstore: Sigstore
  /** Whom the enforcing policies accept. */
  readonly release: Signer
  /** A valid signer whom no policy names. */
  readonly stranger: Signer
  readonly dataDirectory: string
  running(): Running
  port(): number
  request(method: string, target: string, options?: RequestOptions): Promise<Reply>
  get(target: string, headers?: Record<string, string>): Promise<Reply>
  head(target: string, headers?: Record<string, string>): Promise<Reply>
  /** Stops the proxy and starts it again over the same data directory. */
  restart(): Promise<void>
  /** Changes the policy file; it counts from the next start or reload. */
  editPolicies(edit: (text: string) => string): Promise<void>
}

export type HarnessOptions = {
  readonly registry?: RegistryOptions
  /** Laid over the configuration document, one level deep. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Laid over the registry's own entry in `upstreams`. */
  readonly upstream?: Readonly<Record<string, unknown>>
}

export const ISSUER = 'https://token.actions.githubusercontent.com'
export const RELEASE = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'
export const STRANGER = 'https://github.com/mallory/app/.github/workflows/release.yml@refs/heads/main'
export const PROVENANCE = 'https://slsa.dev/provenance/v1'

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'))
  const registry = await startRegistry(options.registry)
  const sigstore = await createSigstore()
  const path = await writeConfiguration(directory, { registry, sigstore, options })
  let running = await startProxy(path)
  const request: Harness['request'] = (method, target, given = {}) =>
    requestTo(running.data.address.port, { method, target, ...given })
  return {
    registry,
    sigstore,
    release: sigstore.keyless({ subject: RELEASE, issuer: ISSUER }),
    stranger: sigstore.keyless({ subject: STRANGER, issuer: ISSUER }),
    dataDirectory: join(directory, 'data'),
    running: () => running,
    port: () => running.data.address.port,
    request,
    get: (target, headers = {}) => request('GET', target, { headers }),
    head: (target, headers = {}) => request('HEAD', target, { headers }),
    async restart() {
      await running.stop()
      running = await startProxy(path)
    },
    async editPolicies(edit) {
      const file = join(directory, 'policies', 'test.yaml')
      await writeFile(file, edit(await readFile(file, 'utf8')))
    },
    async [Symbol.asyncDispose]() {
      await running.stop()
      await registry.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function startProxy(path: string): Promise<Running> {
  const said: string[] = []
  const io = {
    stdout: () => undefined,
    stderr: (text: string) => void said.push(text),
    env: {},
    exit: () => undefined,
  }
  const config = await configure(path, io)
  const running = config === undefined ? undefined : await start(config, io)
  if (running === undefined) throw new TypeError(`the proxy does not start: ${said.join('')}`)
  return running
}

export async function writeConfiguration(
  directory: string,
  { registry, sigstore, options }: { registry: TestRegistry; sigstore: Sigstore; options: HarnessOptions },
): Promise<string> {
  const upstream = {
    url: registry.url,
    allowPrivateAddresses: true,
    retries: 0,
    aliases: ['hub'],
    virtualHosts: ['mirror.test'],
  }
  const config = {
    listen: { data: { port: 0 }, admin: { port: 0 } },
    dataDirectory: 'data',
    upstreams: { [registry.host]: { ...upstream, ...options.upstream } },
    defaultUpstream: registry.host,
    trust: { roots: { test: { kind: 'pinned', path: 'trusted_root.json' } } },
    // Only when a test says so.
    policies: { directory: 'policies', reloadEvery: 'off' },
    log: { level: 'silent' },
    shutdown: { drain: '0s' },
    ...options.config,
  }
  await mkdir(join(directory, 'policies'))
  await writeFile(join(directory, 'policies', 'test.yaml'), policies(registry.host))
  await writeFile(join(directory, 'trusted_root.json'), sigstore.trustedRootJson())
  // JSON is YAML.
  await writeFile(join(directory, 'portcullis.yaml'), JSON.stringify(config))
  return join(directory, 'portcullis.yaml')
}

/** What a repository is called says what is asked of its images. */
function policies(host: string): string {
  const signature = { mode: 'enforce', attestations: undefined }
  const provenance = { mode: 'enforce', attestations: [{ name: 'provenance', predicateType: PROVENANCE }] }
  const documents = [
    { name: 'signed', globs: ['enforced/**', 'mixed/**'], ...signature },
    { name: 'attested', globs: ['attested/**'], ...provenance },
    { name: 'attested-soon', globs: ['mixed/**'], ...provenance, mode: 'observe' },
    { name: 'watched', globs: ['observed/**'], ...signature, mode: 'observe' },
  ]
  return documents.map((document) => JSON.stringify(policyDocument(host, document))).join('\n---\n')
}

type PolicyOptions = {
  name: string
  globs: readonly string[]
  mode: string
  attestations: readonly object[] | undefined
}

function policyDocument(host: string, { name, globs, mode, attestations }: PolicyOptions): object {
  const identities = [{ issuer: ISSUER, subject: RELEASE }]
  const authority = { name: 'release', keyless: { trustRoot: 'test', identities }, attestations }
  const images = globs.map((glob) => ({ glob: `${host}/${glob}` }))
  const spec = { mode, runbook: 'https://runbooks.example/image', images, authorities: [authority] }
  return { apiVersion: 'portcullis.dev/v1alpha1', kind: 'ImagePolicy', metadata: { name }, spec }
}

/** An image that no other call has built. */
export function uniqueImage(name: string, architecture = 'amd64'): BuiltImage {
  return buildImage({ files: { 'etc/name': `${name}\n` }, architecture })
}

export function uniqueIndex(name: string): BuiltIndex {
  return buildIndex(['amd64', 'arm64'].map((architecture) => uniqueImage(name, architecture)))
}

type Published<T> = Place & { readonly image: T; readonly digest: Digest }

export function publish<T extends BuiltImage | BuiltIndex>(
  { registry }: Pick<Harness, 'registry'>,
  { repository, tag = 'v1', image }: { repository: string; tag?: string; image: T },
): Published<T> {
  publishImage(registry, repository, tag, image)
  return { registry, repository, subject: descriptorOf(image), image, digest: image.digest }
}

/** Publishes and signs as the accepted signer, unless told otherwise. */
export async function publishSigned<T extends BuiltImage | BuiltIndex>(
  harness: Pick<Harness, 'registry' | 'sigstore' | 'release'>,
  what: { repository: string; tag?: string; image: T },
  options: EvidenceOptions & { signer?: Signer } = {},
): Promise<Published<T>> {
  const place = publish(harness, what)
  const { signer = harness.release, ...mint } = options
  await signImage(place, harness.sigstore, signer, mint)
  return place
}

/** Turns a promise that a test holds into a slow registry. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}
