import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { Command, CommanderError } from 'commander'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { signImage } from '../testing/evidence.ts'
import { startRegistry, type TestRegistry } from '../testing/registry.ts'
import { createSigstore, managedSigner } from '../testing/sigstore.ts'
import { registerPolicyBundle } from './policy-bundle.ts'

const POLICY = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: acme }
spec:
  images: [{ glob: ghcr.io/acme/** }]
  authorities: [{ name: ops, key: { file: ops.pub } }]
`
const KEY = generateKeyPairSync('ed25519')
const PEM = KEY.publicKey.export({ type: 'spki', format: 'pem' }).toString()

type Ended = { readonly code: number | undefined; readonly stdout: string; readonly stderr: string }

async function portcullis(...argv: readonly string[]): Promise<Ended> {
  const said = { stdout: '', stderr: '', code: undefined as number | undefined }
  const policy = new Command('policy').exitOverride()
  registerPolicyBundle(policy, {
    stdout: (text) => void (said.stdout += text),
    stderr: (text) => void (said.stderr += text),
    env: {},
    exit: (code) => void (said.code = code),
  })
  const quiet = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: (text) => void (said.stderr += text) })
    command.commands.forEach(quiet)
  }
  quiet(policy)
  try {
    await policy.parseAsync(['bundle', ...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
  }
  return said
}

async function place(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'bundle-cli-'))
  context.after(async () => await rm(directory, { recursive: true }))
  await mkdir(join(directory, 'policies'))
  await writeFile(join(directory, 'policies', 'acme.yaml'), POLICY)
  await writeFile(join(directory, 'policies', 'ops.pub'), PEM)
  return directory
}

/** As `skopeo copy oci:LAYOUT docker://…` does. */
async function copy(layout: string, digest: string, registry: TestRegistry): Promise<number> {
  const blob = async (name: string): Promise<Buffer> =>
    await readFile(join(layout, 'blobs', 'sha256', name.slice('sha256:'.length)))
  const bytes = await blob(digest)
  const manifest: { config: { digest: string }; layers: { digest: string }[] } = JSON.parse(bytes.toString())
  for (const descriptor of [manifest.config, ...manifest.layers]) {
    // oxlint-disable-next-line no-await-in-loop -- a few small files
    registry.putBlob(await blob(descriptor.digest), 'policies')
  }
  registry.putManifest('policies', 'production', bytes, MEDIA_TYPE.ociManifest)
  return bytes.length
}

suite('portcullis policy bundle', () => {
  test('pack, copy, sign, verify', async (context) => {
    const directory = await place(context)
    const layout = join(directory, 'layout')
    const packed = await portcullis('pack', join(directory, 'policies'), '--out', layout, '--serial', '7')
    assert.deepEqual([packed.code, packed.stderr], [0, ''])
    const digest = packed.stdout.trim()

    const registry = await startRegistry()
    context.after(async () => await registry.stop())
    const size = await copy(layout, digest, registry)
    const path = join(directory, 'portcullis.yaml')
    await writeFile(join(directory, 'root.pub'), PEM)
    const bundle = {
      image: `${registry.host}/policies:production`,
      signers: [{ name: 'ops', key: 'root.pub' }],
    }
    const config = {
      upstreams: { [registry.host]: { url: registry.url, allowPrivateAddresses: true, retries: 0 } },
      defaultUpstream: null,
      trust: { refresh: 'off' },
      policies: { bundle },
    }
    // JSON is YAML.
    await writeFile(path, JSON.stringify(config))
    const unsigned = await portcullis('verify', '--config', path)
    assert.equal(unsigned.code, 1)
    assert.match(unsigned.stderr, /is not signed as configured/)

    const subject = { mediaType: MEDIA_TYPE.ociManifest, digest: JSON.parse(JSON.stringify(digest)), size }
    const target = { registry, repository: 'policies', subject }
    await signImage(target, await createSigstore(), managedSigner(KEY), { log: 0, form: 'tag' })
    const signed = await portcullis('verify', '--config', path)
    assert.deepEqual([signed.code, signed.stderr], [0, ''])
    assert.match(signed.stdout, new RegExp(`^ok: .*@${digest}, serial 7\npolicies: acme\n`))
    const named = await portcullis(
      'verify',
      `${registry.host}/policies@${digest}`,
      '--config',
      path,
      '--json',
    )
    const { source, policies } = JSON.parse(named.stdout)
    assert.deepEqual([source.serial, source.digest, policies], [7, digest, ['acme']])

    await registry.stop()
    assert.equal((await portcullis('verify', '--config', path)).code, 2)
    for (const image of ['policies', 'ghcr.io/acme/policies', 'ghcr.io/acme/policies:v1']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other reads better when one fails
      assert.equal((await portcullis('verify', image, '--config', path)).code, 3, image)
    }
  })

  test('pack writes the same bytes each time, and over nothing', async (context) => {
    const directory = await place(context)
    const pack = async (out: string): Promise<Ended> =>
      await portcullis('pack', join(directory, 'policies'), '--out', join(directory, out), '--serial', '7')
    const [first, second, again] = [await pack('a'), await pack('b'), await pack('a')]
    assert.deepEqual([second.code, second.stdout], [0, first.stdout])
    assert.equal(again.code, 3)
    assert.match(again.stderr, /is not empty/)
  })

  test('pack refuses what no proxy would take', async (context) => {
    const directory = await place(context)
    const out = ['--out', join(directory, 'layout')]
    for (const flags of [['--serial', '0'], ['--serial', 'x'], [], ['--serial', '1', '--expires', 'soon']]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other reads better when one fails
      const { code, stderr } = await portcullis('pack', join(directory, 'policies'), ...out, ...flags)
      assert.deepEqual([code, stderr === ''], [undefined, false], flags.join(' '))
    }
    await writeFile(join(directory, 'policies', 'a b.yaml'), POLICY)
    const named = await portcullis('pack', join(directory, 'policies'), ...out, '--serial', '1')
    assert.deepEqual([named.code, /plain relative path/.test(named.stderr)], [3, true])
    const missing = await portcullis('pack', join(directory, 'nowhere'), ...out, '--serial', '1')
    assert.equal(missing.code, 3)
  })
})
