import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { startSigstoreServer, type SigstoreServer } from '../../src/testing/sigstore-server.ts'
import { createTufRepository, type TufRepository } from '../../src/testing/tuf-repository.ts'
import { createCosignUser } from './harness/cosign-user.ts'
import { COSIGN_MAJORS, cosignPath } from './harness/cosign.ts'
import { temporaryDirectory } from './harness/house.ts'
import { startPortcullis, type Portcullis } from './harness/portcullis.ts'
import { until, type Result } from './harness/process.ts'
import { missing } from './harness/tools.ts'

const ISSUER = 'https://issuer.example.test'
const RELEASE = 'https://ci.example.test/acme/app/.ci/release.yml@refs/tags/v1'
const FORK = 'https://ci.example.test/mallory/app/.ci/release.yml@refs/tags/v1'

const absent = COSIGN_MAJORS.filter((major) => cosignPath(major) === undefined)
const skip = missing({ tools: absent.map((major) => `cosign${major}`), root: false })

function accepted({ ok, output }: Result): void {
  assert.ok(ok, output)
}

/** The origin is asked once, by the proxy, and then it is gone. */
describe('cosign lives off the proxy as a TUF mirror', { skip }, () => {
  const stack = new AsyncDisposableStack()
  let directory: string
  let root: string
  let services: SigstoreServer
  let origin: TufRepository
  let proxy: Portcullis

  before(async () => {
    directory = await temporaryDirectory(stack)
    const sigstore = await createSigstore()
    services = stack.use(await startSigstoreServer(sigstore))
    origin = stack.use(
      await createTufRepository({
        targets: {
          'trusted_root.json': sigstore.trustedRootJson(),
          'signing_config.v0.2.json': services.signingConfigJson(),
        },
      }),
    )
    // A client that starts from the first root has some way to go.
    for (const role of ['timestamp', 'root', 'snapshot', 'targets'] as const) origin.rotate(role)
    root = join(directory, 'root.json')
    await writeFile(root, origin.root())
    const roots = { private: { kind: 'tuf', url: origin.url, root } }
    proxy = await startPortcullis({
      directory,
      upstreamUrl: 'http://127.0.0.1:9',
      policies: [],
      trustRoots: roots,
    })
    stack.defer(() => proxy.stop())
    await until('the proxy has the repository', async () => {
      const answer = await fetch(`http://${proxy.host}/tuf/private/timestamp.json`)
      return answer.ok
    })
    await origin.fault('refused')
  })
  after(() => stack.disposeAsync())

  for (const major of COSIGN_MAJORS) {
    test(`cosign ${major}: initialize --mirror, sign, verify; also after the proxy was restarted`, async () => {
      const user = await createCosignUser({
        major,
        format: 'bundle',
        root,
        services,
        home: join(directory, `home-${major}`),
        signer: { issuer: ISSUER, subject: RELEASE },
      })
      accepted(await user.initialize({ url: `http://${proxy.host}/tuf/private` }))
      accepted(await user.sign())
      accepted(await user.verify(RELEASE))
      assert.equal((await user.verify(FORK)).ok, false)
      await proxy.restart()
      accepted(await user.verify(RELEASE))
    })
  }
})
