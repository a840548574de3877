import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { RunningTrust } from '../../src/cli/trust-running.ts'
import type { EvidenceOptions } from '../../src/testing/evidence.ts'
import {
  createPkiAuthority,
  createPkiSigner,
  PKI_SUBJECT,
  pkiPem,
  type PkiAuthority,
} from '../../src/testing/pki.ts'
import type { Signer } from '../../src/testing/sigstore.ts'
import { publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf } from './http.ts'

/** Images that are signed with certificates of the operator's own PKI, through the whole proxy. */

const ISSUER = 'CN=Issuing,O=Acme'
const never = new AbortController().signal

type Fixture = {
  readonly harness: Harness
  readonly root: PkiAuthority
  readonly issuing: PkiAuthority
  /** Writes the file of authorities anew. */
  readonly trust: (...authorities: readonly PkiAuthority[]) => Promise<void>
  /** Writes one more document; it counts from the next start. */
  readonly document: (name: string, text: string) => Promise<void>
  /** Publishes an image and signs it; resolves to its target. */
  readonly signed: (name: string, signer: Signer, options?: EvidenceOptions) => Promise<string>
}

const POLICY = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: corporate }
spec:
  mode: enforce
  images: [{ glob: "*/corp/**" }]
  authorities:
    - name: release
      keyless:
        trustRoot: corp
        identities: [{ issuer: "${ISSUER}", subject: "${PKI_SUBJECT}" }]
`

async function start(context: TestContext): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), 'pki-'))
  const [file, policies] = [join(directory, 'ca.pem'), join(directory, 'policies')]
  const root = createPkiAuthority('Root')
  const issuing = createPkiAuthority('Issuing', { issuer: root })
  await mkdir(policies)
  await writeFile(file, pkiPem([root, issuing]))
  await writeFile(join(policies, 'corporate.yaml'), POLICY)
  const roots = {
    test: { kind: 'pinned', path: 'trusted_root.json' },
    corp: { kind: 'pki', certificates: file, times: 'test' },
  }
  const harness = await startHarness({
    config: { trust: { roots, refresh: 'off' }, policies: { directory: policies, reloadEvery: 'off' } },
  })
  context.after(async () => {
    await harness[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })
  return {
    harness,
    root,
    issuing,
    trust: (...authorities) => writeFile(file, pkiPem(authorities)),
    document: (name, text) => writeFile(join(policies, name), text),
    async signed(name, signer, options = {}) {
      const repository = `corp/${name}`
      await publishSigned(harness, { repository, image: uniqueImage(name) }, { signer, ...options })
      return `/v2/${repository}/manifests/v1`
    },
  }
}

suite('certificates of one’s own PKI', () => {
  test('its signer’s images are served, however signed and whoever is gone', async (context) => {
    const { harness, issuing, signed } = await start(context)
    const signer = createPkiSigner(issuing)
    const targets = [
      await signed('bundle', signer),
      await signed('layer', signer, { form: 'tag' }),
      await signed('stamped', signer, { log: 0, timestamp: true }),
    ]
    const statuses = () => Promise.all(targets.map(async (target) => (await harness.get(target)).status))
    assert.deepEqual(await statuses(), [200, 200, 200])
    await harness.registry.stop()
    await harness.restart()
    assert.deepEqual(await statuses(), [200, 200, 200])
  })

  test('what anybody else signs is refused, and the refusal says what was found', async (context) => {
    const { harness, root, issuing, signed } = await start(context)
    const cases: readonly (readonly [string, Signer, EvidenceOptions, RegExp])[] = [
      [
        'other-ca',
        createPkiSigner(createPkiAuthority('Issuing')),
        {},
        /no chain to an authority of trust root corp/,
      ],
      ['no-time', createPkiSigner(issuing), { log: 0 }, /no log entry and no timestamp/],
      [
        'other-subject',
        createPkiSigner(issuing, { names: [{ type: 'email', value: 'mallory@acme.test' }] }),
        {},
        /mallory@acme\.test/,
      ],
      ['other-issuer', createPkiSigner(root), {}, /CN=Root,O=Acme/],
      ['fulcio', harness.release, {}, /no chain to an authority of trust root corp/],
    ]
    for (const [name, signer, options, message] of cases) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other reads better when one fails
      const reply = await harness.get(await signed(name, signer, options))
      assert.equal(reply.status, 403, name)
      assert.match(errorOf(reply).message, message)
    }
  })

  test('a new authority counts after a renewal, and one that was taken out no more', async (context) => {
    const { harness, root, issuing, signed, trust } = await start(context)
    const next = createPkiAuthority('Issuing', { issuer: root })
    const [before, after] = [
      await signed('before', createPkiSigner(issuing)),
      await signed('after', createPkiSigner(next)),
    ]
    const statuses = async () => [(await harness.get(before)).status, (await harness.get(after)).status]
    assert.deepEqual(await statuses(), [200, 403])
    const renew = () => harness.running().deps.trust.refresh('all', never)
    await trust(root, issuing, next)
    assert.deepEqual([...(await renew())], [])
    assert.deepEqual(await statuses(), [200, 200])
    await trust(root, next)
    await renew()
    assert.deepEqual(await statuses(), [403, 200])
  })

  test('an authority is revoked by its name, from a time on', async (context) => {
    const { harness, issuing, signed, document } = await start(context)
    const target = await signed('app', createPkiSigner(issuing))
    const revoke = (from: string) => `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata: { name: stolen }
spec:
  reason: the key of the authority was stolen
  deny: [{ identity: { issuer: "${ISSUER}" }, trustRoot: corp, signedFrom: ${from} }]
`
    await document('stolen.yaml', revoke('2999-01-01'))
    await harness.restart()
    assert.equal((await harness.get(target)).status, 200)
    await document('stolen.yaml', revoke('2020-01-01'))
    await harness.restart()
    const reply = await harness.get(target)
    assert.equal(reply.status, 403)
    assert.match(errorOf(reply).message, /the key of the authority was stolen/)
  })

  test('the running proxy shows the authorities, and a root that other clients read', async (context) => {
    const { harness } = await start(context)
    const running = new RunningTrust({ host: '127.0.0.1', port: harness.running().admin.address.port })
    const { sources } = await running.report()
    const own = sources.find(({ name }) => name === 'corp')
    assert.deepEqual(
      [own?.kind, own?.state, ...(own?.held ?? []).map(({ name }) => name.split(' serial ')[0])],
      ['pki', 'fresh', 'CN=Root,O=Acme', ISSUER],
    )
    const document = JSON.parse((await running.document('corp')) ?? '{}') as Record<string, unknown[]>
    assert.deepEqual(
      [document['certificateAuthorities']?.length, document['ctlogs']?.length, document['tlogs']?.length],
      [2, 0, 2],
    )
  })
})
