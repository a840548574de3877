import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  CreateAliasCommand,
  CreateKeyCommand,
  KMSClient,
  SignCommand,
  UpdateAliasCommand,
  type KeySpec,
  type SigningAlgorithmSpec,
} from '@aws-sdk/client-kms'
import type { Digest } from '../../src/oci/digest.ts'
import type { KmsReference } from '../../src/policy/kms-reference.ts'
import type { CosignLayer } from '../../src/testing/cosign-layer.ts'
import { buildImage } from '../../src/testing/images.ts'
import { createKms, type TestKms } from '../../src/testing/kms.ts'
import { referenceOf } from '../../src/testing/kms-keys.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { simpleSigningPayload } from '../../src/testing/statements.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  layerCandidate,
  SUBJECT,
} from '../../src/testing/verification.ts'
import { createKeyFetcher, KMS_DEFAULTS } from '../../src/trust/kms/kms-client.ts'
import { KmsKeys, type KmsKeyEvent } from '../../src/trust/kms/kms-keys.ts'
import type { Candidate, PublicKey } from '../../src/verify/types.ts'
import { verifyCandidate } from '../../src/verify/verify.ts'
import { COSIGN_MAJORS, cosignPath } from './harness/cosign.ts'
import { temporaryDirectory } from './harness/house.ts'
import { answers, freePort, must, start } from './harness/process.ts'
import { pushImage } from './harness/push.ts'
import { missing } from './harness/tools.ts'

/** PORTCULLIS_E2E_MOTO says where moto's server is (`scripts/install-moto.sh` prints it); `moto_server` on PATH otherwise. */
const MOTO = process.env['PORTCULLIS_E2E_MOTO'] ?? 'moto_server'
const REGION = 'eu-west-1'
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' }
const DAY_MS = 86_400_000
const NEVER = new AbortController().signal

/** The proxy's keys, its clock, and what it told. */
function openKeys(directory: string, references: readonly KmsReference[]) {
  const state = { now: new Date() }
  const events: KmsKeyEvent[] = []
  const keys = new KmsKeys(references, {
    directory,
    fetchKey: createKeyFetcher({ ...KMS_DEFAULTS, region: REGION, attempts: 2, credentials: CREDENTIALS }),
    now: () => state.now,
    onEvent: (event) => events.push(event),
    keyMaxAgeMs: 30 * DAY_MS,
    overlapMs: 7 * DAY_MS,
  })
  return {
    keys,
    pass: (ms: number) => void (state.now = new Date(state.now.getTime() + ms)),
    told: () => events.splice(0).map(({ kind }) => kind),
    trusted: ({ text }: KmsReference): readonly PublicKey[] => {
      const set = keys.sets().get(text)
      return set?.kind === 'held' ? set.keys.map(({ key }) => key) : []
    },
  }
}

const verify = (candidate: Candidate, keys: readonly PublicKey[], subject: Digest = SUBJECT) =>
  verifyCandidate(candidate, { subject, roots: [], keys })

type Moto = { readonly host: string; readonly admin: KMSClient; stop(): Promise<void> }

/** A moto that has nothing in it yet. */
async function startMoto(port: number): Promise<Moto> {
  const host = `127.0.0.1:${port}`
  const command = { command: MOTO, args: ['-H', '127.0.0.1', '-p', String(port)] }
  const running = await start('moto', command, () => answers(`http://${host}/moto-api/`))
  const admin = new KMSClient({ endpoint: `http://${host}`, region: REGION, credentials: CREDENTIALS })
  return {
    host,
    admin,
    stop: async () => {
      admin.destroy()
      await running.stop()
    },
  }
}

async function createKey(admin: KMSClient, spec: KeySpec): Promise<string> {
  const { KeyMetadata: made } = await admin.send(
    new CreateKeyCommand({ KeySpec: spec, KeyUsage: 'SIGN_VERIFY' }),
  )
  return made?.KeyId ?? assert.fail('no key')
}

const PAYLOAD = simpleSigningPayload('registry.test/app', SUBJECT)

/** A layer of `.sig`, signed in the KMS itself. */
async function signLayer(
  admin: KMSClient,
  keyId: string,
  algorithm: SigningAlgorithmSpec,
): Promise<CosignLayer> {
  const command = { KeyId: keyId, Message: PAYLOAD, MessageType: 'RAW', SigningAlgorithm: algorithm } as const
  const { Signature: signature = new Uint8Array() } = await admin.send(new SignCommand(command))
  return {
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    bytes: PAYLOAD,
    annotations: { 'dev.cosignproject.cosign/signature': Buffer.from(signature).toString('base64') },
  }
}

const SPECS = [
  ['ECC_NIST_P256', 'ECDSA_SHA_256'],
  ['ECC_NIST_P384', 'ECDSA_SHA_384'],
  ['ECC_NIST_P521', 'ECDSA_SHA_512'],
  ['RSA_2048', 'RSASSA_PKCS1_V1_5_SHA_256'],
  ['RSA_3072', 'RSASSA_PKCS1_V1_5_SHA_256'],
  ['RSA_4096', 'RSASSA_PKCS1_V1_5_SHA_256'],
] as const

/** The tests follow each other: the alias moves, then the KMS dies, then another one is in its place. */
describe('keys of a KMS emulator', { skip: missing({ tools: [MOTO], root: false }) }, () => {
  const stack = new AsyncDisposableStack()
  let moto: Moto
  let port: number
  let directory: string
  let release: KmsReference
  let proxy: ReturnType<typeof openKeys>
  const layers: Candidate[] = []

  before(async () => {
    directory = join(await temporaryDirectory(stack), 'kms')
    port = await freePort()
    moto = await startMoto(port)
    stack.defer(() => moto.stop())
    release = referenceOf(`awskms://${moto.host}/alias/release`)
    proxy = openKeys(directory, [release])
  })
  after(() => stack.disposeAsync())

  for (const [spec, algorithm] of SPECS) {
    test(`${spec}: what the KMS signs verifies, by key id, alias and ARN`, async () => {
      const { admin, host } = moto
      const keyId = await createKey(admin, spec)
      await admin.send(new CreateAliasCommand({ AliasName: `alias/${spec}`, TargetKeyId: keyId }))
      const arn = `arn:aws:kms:${REGION}:123456789012:`
      const names = [keyId, `alias/${spec}`, `${arn}key/${keyId}`, `${arn}alias/${spec}`]
      const references = names.map((name) => referenceOf(`awskms://${host}/${name}`))
      const own = openKeys(join(directory, spec), references)
      await own.keys.refresh(NEVER)
      const layer = layerCandidate(await signLayer(admin, keyId, algorithm))
      for (const reference of references) {
        const trusted = own.trusted(reference)
        const verified = assertAccepted(verify(layer, trusted))
        const { id: key, scheme } = trusted[0] ?? assert.fail('no key')
        assert.deepEqual(verified.signer, { kind: 'key', key, ...(scheme === undefined ? {} : { scheme }) })
        const tampered = {
          ...layer,
          bytes: Buffer.from(layer.bytes.toString().replace('registry', 'Registry')),
        }
        assertRefused(verify(tampered, trusted), 'key', /none of the 1/)
      }
    })
  }

  test('a key that encrypts is refused', async () => {
    const { KeyMetadata: made } = await moto.admin.send(
      new CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' }),
    )
    const own = openKeys(join(directory, 'encrypts'), [referenceOf(`awskms://${moto.host}/${made?.KeyId}`)])
    await assert.rejects(own.keys.refresh(NEVER), { code: 'refused', message: /ENCRYPT_DECRYPT/ })
  })

  test('the alias moves: what either key signed verifies', async () => {
    const { admin } = moto
    const [old, next] = [await createKey(admin, 'ECC_NIST_P256'), await createKey(admin, 'ECC_NIST_P256')]
    await admin.send(new CreateAliasCommand({ AliasName: 'alias/release', TargetKeyId: old }))
    for (const keyId of [old, next]) {
      layers.push(layerCandidate(await signLayer(admin, keyId, 'ECDSA_SHA_256')))
    }
    await proxy.keys.refresh(NEVER)
    assertAccepted(verify(layers[0]!, proxy.trusted(release)))
    assertRefused(verify(layers[1]!, proxy.trusted(release)), 'key', /none of the 1/)
    await admin.send(new UpdateAliasCommand({ AliasName: 'alias/release', TargetKeyId: next }))
    await proxy.keys.refresh(NEVER)
    for (const layer of layers) assertAccepted(verify(layer, proxy.trusted(release)))
    assert.deepEqual(proxy.told(), ['obtained', 'moved'])
  })

  test('the KMS dies: both still verify, also after a restart', async () => {
    await moto.stop()
    await assert.rejects(proxy.keys.refresh(NEVER), { code: 'unavailable', message: /ECONNREFUSED/ })
    proxy.told()
    const restarted = openKeys(directory, [release])
    await restarted.keys.load()
    for (const each of [proxy, restarted]) {
      for (const layer of layers) assertAccepted(verify(layer, each.trusted(release)))
    }
    assert.deepEqual(restarted.keys.sets(), proxy.keys.sets())
    proxy = restarted
  })

  test('the overlap ends while it is dead: only the new key is left', () => {
    proxy.pass(8 * DAY_MS)
    assertRefused(verify(layers[0]!, proxy.trusted(release)), 'key', /none of the 1/)
    assertAccepted(verify(layers[1]!, proxy.trusted(release)))
    assert.deepEqual(proxy.told(), ['retired'])
  })

  test('another KMS in its place knows no such alias: said at once, trusted for the overlap', async () => {
    moto = await startMoto(port)
    await assert.rejects(proxy.keys.refresh(NEVER), { code: 'refused', message: /NotFoundException/ })
    assert.deepEqual(proxy.told(), ['gone', 'failed'])
    assertAccepted(verify(layers[1]!, proxy.trusted(release)))
    proxy.pass(7 * DAY_MS)
    assert.deepEqual(proxy.keys.sets().get(release.text), { kind: 'held', keys: [] })
  })
})

/** What cosign attached to the image, wherever it put it. */
function evidenceOf(registry: TestRegistry, repository: string, digest: Digest): readonly Candidate[] {
  type Manifest = { layers: { mediaType: string; digest: Digest; annotations?: Record<string, string> }[] }
  const references = [
    `${digest.replace(':', '-')}.sig`,
    ...registry.referrers(repository, digest).map((referrer) => referrer.digest),
  ]
  return references.flatMap((reference) => {
    const manifest = registry.manifest(repository, reference)
    if (manifest === undefined) return []
    const { layers } = JSON.parse(manifest.bytes.toString()) as Manifest
    return layers.map(({ mediaType, digest: blob, annotations = {} }) => {
      const bytes = registry.blob(repository, blob) ?? assert.fail('no blob')
      return mediaType.startsWith('application/vnd.dev.sigstore.bundle')
        ? bundleCandidate(bytes)
        : layerCandidate({ mediaType, bytes, annotations })
    })
  })
}

const absent = COSIGN_MAJORS.filter((major) => cosignPath(major) === undefined)

/** moto signs the digest of a digest, which no verifier accepts; the protocol fake does as AWS does. */
describe(
  'cosign signs with a KMS',
  { skip: missing({ tools: absent.map((major) => `cosign${major}`), root: false }) },
  () => {
    const stack = new AsyncDisposableStack()
    let kms: TestKms
    let registry: TestRegistry
    let directory: string

    before(async () => {
      kms = stack.use(await createKms({ region: REGION }))
      registry = stack.use(await startRegistry())
      directory = await temporaryDirectory(stack)
    })
    after(() => stack.disposeAsync())

    for (const spec of ['ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521', 'RSA_2048'] as const) {
      for (const major of COSIGN_MAJORS) {
        test(`cosign ${major}, ${spec}`, async () => {
          const repository = `cosign${major}/${spec.toLowerCase()}`
          const target = { host: registry.host, repository }
          const digest = await pushImage(target, 'v1', buildImage({ files: { 'name.txt': repository } }))
          const key = kms.createKey(spec)
          const alias = `alias/${repository}`
          kms.setAlias(alias, key.keyId)
          const args = [
            'sign',
            `--key=awskms:///${alias}`,
            ...(major === 3 ? ['--use-signing-config=false'] : []),
            '--tlog-upload=false',
            '--yes',
            '--allow-insecure-registry',
            '--allow-http-registry',
            `${registry.host}/${repository}@${digest}`,
          ]
          await must({ command: cosignPath(major) ?? '', args, env: kms.env }, 60_000)

          const reference = referenceOf(`awskms://${kms.endpoint}/${alias}`)
          const own = openKeys(join(directory, repository), [reference])
          await own.keys.refresh(NEVER)
          const [candidate, ...others] = evidenceOf(registry, repository, digest)
          assert.ok(candidate !== undefined && others.length === 0)
          assertAccepted(verify(candidate, own.trusted(reference), digest))
          assert.equal(verify(candidate, own.trusted(reference), SUBJECT).verified.length, 0)
        })
      }
    }
  },
)
