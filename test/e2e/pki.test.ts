import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { toPem } from '../../src/testing/certificate.ts'
import { buildImage } from '../../src/testing/images.ts'
import {
  createPkiAuthority,
  createPkiSigner,
  newKeyPair,
  PKI_SUBJECT,
  pkiPem,
} from '../../src/testing/pki.ts'
import { startSigstoreServer } from '../../src/testing/sigstore-server.ts'
import { startHarness, type Harness } from '../integration/harness.ts'
import { errorOf } from '../integration/http.ts'
import { COSIGN_MAJORS, cosignPath, type CosignMajor } from './harness/cosign.ts'
import { temporaryDirectory } from './harness/house.ts'
import { must } from './harness/process.ts'
import { pushImage } from './harness/push.ts'
import { missing } from './harness/tools.ts'

const POLICY = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: corporate }
spec:
  mode: enforce
  images: [{ glob: "*/**" }]
  authorities:
    - name: release
      keyless:
        trustRoot: corp
        identities: [{ issuer: "CN=Issuing,O=Acme", subject: "${PKI_SUBJECT}" }]
`

/** Who says when a signature was made. */
const WITNESSES = ['log', 'timestamp authority', 'nobody'] as const
type Witness = (typeof WITNESSES)[number]

const absent = COSIGN_MAJORS.filter((major) => cosignPath(major) === undefined)
const tools = absent.map((major) => `cosign${major}`)

/** What cosign attaches for a key with a certificate and its chain, each major version in its own format. */
describe(
  'images signed by cosign with a certificate of a PKI',
  { skip: missing({ tools, root: false }) },
  () => {
    const stack = new AsyncDisposableStack()
    let work: string
    let harness: Harness
    let sigstoreUrl: string

    before(async () => {
      work = await temporaryDirectory(stack)
      const root = createPkiAuthority('Root')
      const issuing = createPkiAuthority('Issuing', { issuer: root, pathLength: 0 })
      const keyPair = newKeyPair()
      await writeFile(join(work, 'root.pem'), pkiPem([root]))
      await writeFile(join(work, 'chain.pem'), pkiPem([issuing, root]))
      await writeFile(join(work, 'release.pem'), toPem(createPkiSigner(issuing, { keyPair }).certificate))
      await writeFile(
        join(work, 'release.pkcs8'),
        keyPair.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      )
      await writeFile(join(work, 'corporate.yaml'), POLICY)
      await must({
        command: cosignPath(2) ?? '',
        args: ['import-key-pair', '--key=release.pkcs8', '--output-key-prefix=release', '--yes'],
        cwd: work,
        env: { COSIGN_PASSWORD: '' },
      })
      const roots = {
        test: { kind: 'pinned', path: 'trusted_root.json' },
        // The intermediate comes with the signatures.
        corp: { kind: 'pki', certificates: join(work, 'root.pem'), times: 'test' },
      }
      const config = { trust: { roots }, policies: { directory: work, reloadEvery: 'off' } }
      harness = stack.use(await startHarness({ config }))
      sigstoreUrl = stack.use(await startSigstoreServer(harness.sigstore)).url
    })
    after(() => stack.disposeAsync())

    function witnessArguments(witness: Witness): readonly string[] {
      if (witness === 'log') return [`--rekor-url=${sigstoreUrl}`]
      const stamp = `--timestamp-server-url=${sigstoreUrl}/api/v1/timestamp`
      return ['--tlog-upload=false', ...(witness === 'nobody' ? [] : [stamp])]
    }

    async function publishSigned(major: CosignMajor, witness: Witness): Promise<string> {
      const { host } = harness.registry
      const repository = `cosign${major}/${witness.replace(' ', '-')}`
      const image = buildImage({ files: { 'name.txt': repository } })
      const digest = await pushImage({ host, repository }, 'v1', image)
      const args = [
        'sign',
        '--key=release.key',
        '--certificate=release.pem',
        '--certificate-chain=chain.pem',
        ...witnessArguments(witness),
        ...(major === 3 ? ['--use-signing-config=false'] : []),
        '--yes',
        '--allow-insecure-registry',
        '--allow-http-registry',
        `${host}/${repository}@${digest}`,
      ]
      const rekorKey = join(work, 'rekor.pem')
      await writeFile(rekorKey, toPem(harness.sigstore.logs.v1.publicKeyDer, 'PUBLIC KEY'))
      const env = { COSIGN_PASSWORD: '', SIGSTORE_REKOR_PUBLIC_KEY: rekorKey }
      await must({ command: cosignPath(major) ?? '', args, cwd: work, env }, 60_000)
      return `/v2/${repository}/manifests/v1`
    }

    for (const major of COSIGN_MAJORS) {
      for (const witness of WITNESSES) {
        test(`cosign ${major}, ${witness} says when: ${witness === 'nobody' ? 'refused' : 'served'}`, async () => {
          const reply = await harness.get(await publishSigned(major, witness))
          if (witness !== 'nobody') return assert.equal(reply.status, 200, reply.body.toString())
          assert.equal(reply.status, 403)
          assert.match(errorOf(reply).message, /no log entry and no timestamp that trust root corp knows/)
        })
      }
    }
  },
)
