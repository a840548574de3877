import { generateKeyPairSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createKms } from '../../src/testing/kms.ts'
import { startRegistry } from '../../src/testing/registry.ts'
import { startRekorServer } from '../../src/testing/rekor-server.ts'
import { createSigstore, managedSigner } from '../../src/testing/sigstore.ts'
import { createTufRepository, type TufRepository } from '../../src/testing/tuf-repository.ts'
import { openFront, type Front } from './front.ts'
import { IDENTITY, POLICIES, publishImages, STANCES, type Image, type PolicyKind } from './images.ts'

export const DEPENDENCIES = ['tuf', 'rekor', 'kms', 'registry'] as const
export type Dependency = (typeof DEPENDENCIES)[number]

export type Fronts = Readonly<Record<Dependency, Front>>

/** A registry, a private Sigstore with its log, a TUF repository, a KMS, and every image in them. */
export type World = AsyncDisposable & {
  readonly images: readonly Image[]
  readonly trustFile: Buffer
  readonly loggedKey: string
  /** For the process of the proxy. */
  readonly env: Readonly<Record<string, string>>
  /** Ways to the dependencies that nobody else uses, so that one proxy's outage is not another's. */
  openFronts(): Promise<Fronts & AsyncDisposable>
}

export async function createWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack()
  const sigstore = await createSigstore()
  const registry = stack.use(await startRegistry())
  const rekor = stack.use(await startRekorServer(sigstore))
  const kms = stack.use(await createKms())
  const targets = { 'trusted_root.json': sigstore.trustedRootJson() }
  const tuf = stack.use(await createTufRepository({ targets }))
  const expired = new Map([['/timestamp.json', await expiredTimestamp(tuf)]])
  const kmsKey = kms.createKey()
  kms.setAlias('alias/release', kmsKey.keyId)
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const images = await publishImages(registry, { sigstore, kmsKey, logged: managedSigner(pair) })
  const { AWS_ENDPOINT_URL_KMS: _, ...env } = kms.env
  const targetsOf = { tuf: tuf.url, rekor: rekor.url, kms: kms.url, registry: registry.url }
  const open = async (dependency: Dependency): Promise<Front> =>
    await openFront({ target: targetsOf[dependency], expired })
  const owned = stack.move()
  return {
    images,
    trustFile: tuf.root(),
    loggedKey: pair.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    env,
    async openFronts() {
      const fronts = {
        tuf: await open('tuf'),
        rekor: await open('rekor'),
        kms: await open('kms'),
        registry: await open('registry'),
      }
      return {
        ...fronts,
        async [Symbol.asyncDispose]() {
          await Promise.all(Object.values(fronts).map((front) => front.close()))
        },
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Rightly signed, and over: what a mirror has that froze. */
async function expiredTimestamp(tuf: TufRepository): Promise<Buffer> {
  await tuf.fault('expired')
  const response = await fetch(`${tuf.url}/timestamp.json`)
  await tuf.fault(undefined)
  return Buffer.from(await response.arrayBuffer())
}

export type Settings = {
  readonly directory: string
  readonly ports: { readonly data: number; readonly admin: number }
  /** Budget of stance open. */
  readonly openImagesMax: number
  readonly logLevel: string
}

/** Writes a configuration with time limits that make a hanging dependency bearable; gives its path. */
export async function writeConfiguration(world: World, fronts: Fronts, settings: Settings): Promise<string> {
  const { directory, ports, openImagesMax, logLevel } = settings
  await mkdir(join(directory, 'policies'), { recursive: true })
  const policies = STANCES.flatMap((stance) =>
    POLICIES.map((kind) => policyDocument(stance, kind, authorityOf(kind, world, fronts))),
  )
  await writeFile(
    join(directory, 'policies', 'all.yaml'),
    policies.map((policy) => JSON.stringify(policy)).join('\n---\n'),
  )
  await writeFile(join(directory, 'root.json'), world.trustFile)
  const timeouts = { connect: '500ms', headers: '500ms', body: '1s' }
  const config = {
    listen: { data: { port: ports.data }, admin: { port: ports.admin } },
    dataDirectory: 'data',
    upstreams: {
      'registry.test': { url: fronts.registry.url, allowPrivateAddresses: true, retries: 1, timeouts },
    },
    defaultUpstream: 'registry.test',
    trust: {
      roots: {
        ours: { kind: 'tuf', url: fronts.tuf.url, root: 'root.json', rekor: { url: fronts.rekor.url } },
      },
    },
    policies: { directory: 'policies', unmatched: 'enforce' },
    outages: { openImagesMax, reviewEvery: '1s' },
    cache: { tagTtl: '1s', violatedTtl: '1s' },
    deadlines: { pull: '3s' },
    log: { level: logLevel },
    shutdown: { drain: '0s' },
  }
  const path = join(directory, 'portcullis.yaml')
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config))
  return path
}

function policyDocument(stance: string, kind: PolicyKind, authority: object): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: `${stance}-${kind}` },
    spec: {
      mode: 'enforce',
      stance,
      images: [{ glob: `registry.test/${stance}/${kind}/**` }],
      authorities: [{ name: 'release', ...authority }],
    },
  }
}

function authorityOf(kind: PolicyKind, world: World, fronts: Fronts): object {
  switch (kind) {
    case 'keyless':
      return { keyless: { trustRoot: 'ours', identities: [IDENTITY] } }
    case 'kms':
      return { key: { kms: `awskms://${fronts.kms.host}/alias/release` } }
    case 'logged':
      return { key: { data: world.loggedKey, transparencyLog: 'required', trustRoot: 'ours' } }
  }
}
