import { generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../../src/oci/digest.ts'
import { signImage } from '../../src/testing/evidence.ts'
import { buildImage, descriptorOf, publishImage, type BuiltImage } from '../../src/testing/images.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { startSigstoreServer } from '../../src/testing/sigstore-server.ts'
import { createSigstore, managedSigner } from '../../src/testing/sigstore.ts'
import { cosign, generateKeys, type PrivateSigstore } from '../../test/e2e/harness/cosign.ts'
import { policyDocument, type PolicyInput } from '../../test/e2e/harness/portcullis.ts'
import type { PortcullisOptions } from '../peers.ts'

export const SIGNED_BY = ['key', 'keyless'] as const
export type SignedBy = (typeof SIGNED_BY)[number]

export const IDENTITY = {
  issuer: 'https://issuer.example.test',
  subject: 'https://ci.example.test/acme/app/.ci/release.yml@refs/tags/v1',
}
const TAG = 'v1'

export type Image = { readonly signedBy: SignedBy; readonly repository: string; readonly digest: Digest }

export type VerificationWorld = {
  /** `127.0.0.1:port` of a registry in memory. */
  readonly host: string
  /** For cosign: a trusted_root.json, a public key. */
  readonly trustedRoot: string
  readonly publicKeyFile: string
  readonly proxyOptions: Omit<PortcullisOptions, 'directory'>
  /** Images signed by `cosign sign`, each by a process of its own. */
  signByCosign(signedBy: SignedBy, count: number): Promise<readonly Image[]>
  /** Many images with evidence of the same form, made in this process: for the compilers. */
  signHere(signedBy: SignedBy, count: number): Promise<readonly Image[]>
}

function imagesOf(
  folder: string,
  signedBy: SignedBy,
  count: number,
): readonly (Image & { built: BuiltImage })[] {
  return Array.from({ length: count }, (_, index) => {
    const repository = `${folder}/${signedBy}/image-${index}`
    const built = buildImage({ annotations: { 'org.opencontainers.image.title': repository } })
    return { signedBy, repository, digest: built.digest, built }
  })
}

async function startSigstore(stack: AsyncDisposableStack, directory: string) {
  const sigstore = await createSigstore()
  const server = stack.use(await startSigstoreServer(sigstore))
  const [trustedRoot, signingConfig] = ['trusted_root.json', 'signing_config.json'].map((name) =>
    join(directory, name),
  )
  if (trustedRoot === undefined || signingConfig === undefined) throw new Error('no paths')
  await writeFile(trustedRoot, sigstore.trustedRootJson())
  await writeFile(signingConfig, server.signingConfigJson())
  const files: PrivateSigstore = { url: server.url, trustedRoot, signingConfig, env: {} }
  return { sigstore, files }
}

function policies(cosignKeyPem: string, ownKeyPem: string): readonly PolicyInput[] {
  const keyless = { ...IDENTITY, trustRoot: 'private' }
  return [
    { name: 'cosign-key', glob: 'registry.test/cosign/key/*', keyPem: cosignKeyPem },
    { name: 'own-key', glob: 'registry.test/own/key/*', keyPem: ownKeyPem },
    { name: 'keyless', glob: 'registry.test/*/keyless/*', keyless },
  ]
}

export async function createVerificationWorld(
  stack: AsyncDisposableStack,
  directory: string,
  program: string,
): Promise<VerificationWorld> {
  const registry: TestRegistry = stack.use(await startRegistry())
  const { sigstore, files } = await startSigstore(stack, directory)
  const keys = await generateKeys(program, directory, 'signer')
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const ownKeyPem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const signers = { key: managedSigner(pair), keyless: sigstore.keyless(IDENTITY) }
  const { host } = registry
  return {
    host,
    trustedRoot: files.trustedRoot,
    publicKeyFile: keys.publicKey,
    proxyOptions: {
      upstream: host,
      policies: policies(await readFile(keys.publicKey, 'utf8'), ownKeyPem).map(policyDocument),
      config: { trust: { roots: { private: { kind: 'pinned', path: files.trustedRoot } } } },
    },
    async signByCosign(signedBy, count) {
      const images = imagesOf('cosign', signedBy, count)
      for (const { repository, digest, built } of images) {
        publishImage(registry, repository, TAG, built)
        await cosign({
          major: 3,
          image: `${host}/${repository}@${digest}`,
          what: { kind: 'sign' },
          signing:
            signedBy === 'key'
              ? { by: 'key', key: keys }
              : { by: 'identity', identity: IDENTITY, sigstore: files },
        })
      }
      return images
    },
    async signHere(signedBy, count) {
      const images = imagesOf('own', signedBy, count)
      for (const { repository, built } of images) {
        publishImage(registry, repository, TAG, built)
        const place = { registry, repository, subject: descriptorOf(built) }
        await signImage(place, sigstore, signers[signedBy], signedBy === 'key' ? { log: 0 } : {})
      }
      return images
    },
  }
}
