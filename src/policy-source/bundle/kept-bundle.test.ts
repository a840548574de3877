import assert from 'node:assert/strict'
import nodeFiles, { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { bundleCandidate } from '../../testing/verification.ts'
import { KeptBundle, type KeptFileSystem, type WholeBundle } from './kept-bundle.ts'

const IMAGE = 'ghcr.io/acme/policies:production'

function bundleOf(name: string): WholeBundle {
  const [manifest, file] = [Buffer.from(`manifest ${name}`), Buffer.from(`file ${name}`)]
  return {
    digest: digestOf(manifest),
    contentType: 'application/vnd.oci.image.manifest.v1+json',
    manifest,
    evidence: { candidates: [bundleCandidate(Buffer.from('{}'))], rejected: [], failures: [] },
    blobs: new Map([[digestOf(file), file]]),
  }
}

async function place(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'kept-'))
  context.after(async () => await rm(directory, { recursive: true }))
  return directory
}

async function fileOf(directory: string, what: 'bundle' | 'version'): Promise<string> {
  const name = (await readdir(directory)).find((one) => one.endsWith(`.${what}.json`))
  return join(directory, name ?? assert.fail(`no ${what}`))
}

suite('the bundle on disk', () => {
  test('what was written is read; nothing where nothing was, nor for another image', async (context) => {
    const directory = await place(context)
    const kept = new KeptBundle(IMAGE, directory)
    assert.deepEqual([await kept.read(), await kept.version()], [undefined, undefined])
    const bundle = bundleOf('a')
    await kept.write(bundle, 7)
    assert.deepEqual(await new KeptBundle(IMAGE, directory).read(), bundle)
    assert.deepEqual(await kept.version(), { digest: bundle.digest, serial: 7 })
    const other = new KeptBundle('ghcr.io/acme/policies:canary', directory)
    assert.deepEqual([await other.read(), await other.version()], [undefined, undefined])
    await kept.write(bundleOf('b'), 8)
    assert.deepEqual(await kept.read(), bundleOf('b'))
  })

  const damages: readonly (readonly [string, (text: string) => string])[] = [
    ['cut', (text) => text.slice(0, text.length / 2)],
    ['empty', () => ''],
    ['another manifest', (text) => text.replace(/"manifest":"[^"]+"/, `"manifest":"${btoa('other')}"`)],
    ['another file', (text) => text.replace(btoa('file a'), btoa('file b'))],
    ['other evidence', (text) => text.replace(btoa('{}'), btoa('[]'))],
    ['another format', (text) => text.replace('"format":1', '"format":2')],
  ]
  for (const [name, damage] of damages) {
    test(`damaged: ${name}; which version it was is still known`, async (context) => {
      const directory = await place(context)
      const kept = new KeptBundle(IMAGE, directory)
      await kept.write(bundleOf('a'), 7)
      const file = await fileOf(directory, 'bundle')
      const text = await readFile(file, 'utf8')
      assert.notEqual(damage(text), text)
      await writeFile(file, damage(text))
      await assert.rejects(kept.read())
      assert.equal((await kept.version())?.serial, 7)
    })
  }

  test('a disk that fails is told, and what was there stays', async (context) => {
    const directory = await place(context)
    const files: KeptFileSystem = { ...nodeFiles, readFile: async (path) => await nodeFiles.readFile(path) }
    const kept = new KeptBundle(IMAGE, directory, files)
    await kept.write(bundleOf('a'), 7)
    files.rename = async () => await Promise.reject(new Error('ENOSPC'))
    await assert.rejects(kept.write(bundleOf('b'), 8), /ENOSPC/)
    assert.deepEqual(await kept.read(), bundleOf('a'))
    files.readFile = async () => await Promise.reject(new Error('EIO'))
    await assert.rejects(kept.read(), /EIO/)
    await assert.rejects(kept.version(), /EIO/)
  })
})
