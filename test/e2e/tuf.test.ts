import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { toPem } from '../../src/testing/certificate.ts'
import { startSigstoreServer, type SigstoreServer } from '../../src/testing/sigstore-server.ts'
import { createSigstore, type Sigstore } from '../../src/testing/sigstore.ts'
import { initialize, signOffline } from '../../src/trust/publish/testing/ceremony.ts'
import { serveDirectory, type DirectoryServer } from '../../src/trust/publish/testing/client.ts'
import { createPublisher, type Publisher } from '../../src/trust/publish/testing/publisher.ts'
import { COSIGN_MAJORS, cosignPath, type CosignMajor } from './harness/cosign.ts'
import { createCosignUser, type CosignFormat, type CosignUser } from './harness/cosign-user.ts'
import type { Result } from './harness/process.ts'
import { missing } from './harness/tools.ts'

const ISSUER = 'https://issuer.example.test'
const RELEASE = 'https://ci.example.test/acme/app/.ci/release.yml@refs/tags/v1'
const FORK = 'https://ci.example.test/mallory/app/.ci/release.yml@refs/tags/v1'
const DAY_MS = 24 * 3600 * 1000

const absent = COSIGN_MAJORS.filter((major) => cosignPath(major) === undefined)
const skip = missing({ tools: absent.map((major) => `cosign${major}`), root: false })

let sigstore: Sigstore
let services: SigstoreServer

async function createUser(
  major: CosignMajor,
  publisher: Publisher,
  format: CosignFormat,
): Promise<CosignUser> {
  return await createCosignUser({
    major,
    format,
    home: publisher.path(`home-${major}`),
    root: join(publisher.published, '1.root.json'),
    services,
    signer: { issuer: ISSUER, subject: RELEASE },
  })
}

function accepted({ ok, output }: Result): void {
  assert.ok(ok, output)
}

/** Without the hashes, which change with every key. */
function asked({ requests }: DirectoryServer): readonly string[] {
  return requests.splice(0).map((request) => request.replace(/[0-9a-f]{64}/, 'HASH'))
}

async function publishSigstore(publisher: Publisher): Promise<void> {
  const { path } = publisher
  await writeFile(path('root.json'), sigstore.trustedRootJson())
  await writeFile(path('config.json'), services.signingConfigJson())
  const targets = [
    `trusted_root.json=${path('root.json')}`,
    `signing_config.v0.2.json=${path('config.json')}`,
  ]
  await publisher.must('targets', '--add', ...targets)
}

describe('our own TUF root, read by cosign', { skip }, () => {
  before(async () => {
    sigstore = await createSigstore()
    services = await startSigstoreServer(sigstore)
  })
  after(() => services.stop())

  for (const major of COSIGN_MAJORS) {
    test(`cosign ${major} follows through expiry, rotation and the end of the origin`, async (t) => {
      await using stack = new AsyncDisposableStack()
      const origin = stack.use(await createPublisher())
      await initialize(origin)
      await signOffline(origin, 1, 'alice', 'bob')
      await publishSigstore(origin)
      const own = stack.use(await createPublisher())
      own.setClock(new Date(Date.now() - 10 * DAY_MS))
      await initialize(own)
      await signOffline(own, 1, 'alice', 'bob')
      const originServer = await serveDirectory(origin.published)
      const originRoot = join(origin.published, '1.root.json')
      await own.must('targets', '--from', originServer.url, '--from-root', originRoot)
      await originServer[Symbol.asyncDispose]()
      const server = stack.use(await serveDirectory(own.published))
      const user = await createUser(major, own, 'bundle')

      await t.test('a timestamp that ended three days ago: refused', async () => {
        const { ok, output } = await user.initialize(server)
        assert.equal(ok, false)
        assert.match(output, /expired/)
        asked(server)
      })
      await t.test(
        'the daily run has been: it takes the trusted root, and cosign 3 the signing config',
        async () => {
          own.setClock(new Date())
          await own.must('timestamp')
          accepted(await user.initialize(server))
          const metadata = ['2.root.json 404', 'timestamp.json 200']
          const trustedRoot = 'targets/HASH.trusted_root.json 200'
          const signingConfig = 'targets/HASH.signing_config.v0.2.json 200'
          const first = [...metadata, '1.snapshot.json 200', '1.targets.json 200']
          assert.deepEqual(
            asked(server),
            major === 2 ? [...first, trustedRoot] : [...first, signingConfig, ...metadata, trustedRoot],
          )
        },
      )
      await t.test('what the private Sigstore signed is verified, for its identity only', async () => {
        accepted(await user.sign())
        accepted(await user.verify(RELEASE))
        const { ok, output } = await user.verify(FORK)
        assert.equal(ok, false)
        assert.match(output, /expected SAN value/)
      })
      await t.test('every online key and a root key change: it follows', async () => {
        await own.keys('targets2', 'online2', 'dave')
        const { path } = own
        const online = ['--snapshot-key', path('online2.pem'), '--timestamp-key', path('online2.pem')]
        const rootKeys = ['--add-root-key', path('dave.pub'), '--threshold', '3']
        await own.must('rotate-root', '--targets-key', path('targets2.pem'), ...online, ...rootKeys)
        await signOffline(own, 2, 'alice', 'carol', 'dave')
        asked(server)
        accepted(await user.verify(RELEASE))
        assert.deepEqual(asked(server), [
          '2.root.json 200',
          '3.root.json 404',
          'timestamp.json 200',
          '2.snapshot.json 200',
          '2.targets.json 200',
        ])
      })
      await t.test('nobody serves it: cosign verifies nothing, although it has everything', async () => {
        await server[Symbol.asyncDispose]()
        const { ok, output } = await user.verify(RELEASE)
        assert.equal(ok, false)
        assert.match(output, /connection refused/)
      })
    })

    test(`cosign ${major} finds keys by their usage where there is no trusted root`, async () => {
      await using own = await createPublisher()
      await initialize(own)
      await signOffline(own, 1, 'alice', 'bob')
      const { fulcio, logs } = sigstore
      await writeFile(own.path('fulcio'), fulcio.chain.map((der) => toPem(der)).join(''))
      await writeFile(own.path('rekor'), toPem(logs.v1.publicKeyDer, 'PUBLIC KEY'))
      await writeFile(own.path('ctfe'), toPem(fulcio.ctLog.publicKey, 'PUBLIC KEY'))
      const files = ['fulcio', 'rekor', 'ctfe'].map((name) => `${name}.pem=${own.path(name)}`)
      const usages = ['fulcio.pem=Fulcio', 'rekor.pem=Rekor', 'ctfe.pem=CTFE']
      await own.must('targets', '--add', ...files, '--usage', ...usages)
      await using server = await serveDirectory(own.published)
      const user = await createUser(major, own, 'old')
      accepted(await user.initialize(server))
      const targets = asked(server).filter((request) => request.startsWith('targets/'))
      assert.deepEqual(
        targets.toSorted(),
        ['ctfe', 'fulcio', 'rekor'].map((name) => `targets/HASH.${name}.pem 200`),
      )
      accepted(await user.sign())
      accepted(await user.verify(RELEASE))
      assert.equal((await user.verify(FORK)).ok, false)
    })

    test(`cosign ${major} takes nothing that another root signs`, async () => {
      await using own = await createPublisher()
      await using other = await createPublisher()
      for (const publisher of [own, other]) {
        await initialize(publisher)
        await signOffline(publisher, 1, 'alice', 'bob')
        await publishSigstore(publisher)
      }
      await using server = await serveDirectory(other.published)
      const { ok, output } = await (await createUser(major, own, 'bundle')).initialize(server)
      assert.equal(ok, false)
      assert.match(output, /signature|threshold|keys/i)
    })
  }
})
