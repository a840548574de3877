import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { suite, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

/** What a start loads is most of what it takes: here stands what nobody may add to it unawares. */

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** Tells on stderr, at the end, every file that was loaded. */
const TELL_MODULES = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  const loaded = []
  registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
  process.on('exit', () => process.stderr.write(JSON.stringify(loaded)))
`)}`

/** Large, and needed by few: for expressions, keys in a KMS, connections, threads, odd signatures, renewals of trust. */
const ON_DEMAND = ['@bufbuild/cel', '@aws-sdk/client-kms', 'undici', 'piscina', '@noble/curves', 'tuf-js']

type Loaded = { readonly packages: readonly string[]; readonly commands: readonly string[] }

/** Runs the program until it ends by itself or says that it is ready. */
async function loadedBy(...args: readonly string[]): Promise<Loaded> {
  const child = spawn(process.execPath, ['--import', TELL_MODULES, MAIN, ...args], { env: {} })
  child.stdout.setEncoding('utf8').on('data', (output: string) => {
    if (output.includes('"ready"')) child.kill('SIGTERM')
  })
  const [said] = await Promise.all([text(child.stderr), once(child, 'exit')])
  if (!said.startsWith('[')) assert.fail(said)
  const urls: unknown = JSON.parse(said)
  assert.ok(Array.isArray(urls))
  const all = urls.map(String)
  const matching = (pattern: RegExp) => [...new Set(all.flatMap((url) => pattern.exec(url)?.[1] ?? []))]
  return {
    packages: matching(/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//),
    commands: matching(/\/src\/cli\/([^/]+)\.ts$/),
  }
}

/** A proxy with one policy, whose authority also has these fields. */
async function configurationWith(context: TestContext, authority: object): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'))
  context.after(() => rm(directory, { recursive: true }))
  const identities = [{ issuer: 'https://issuer.test', subject: 'https://ci.test/release' }]
  const policy = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'signed' },
    spec: {
      images: [{ glob: 'registry.test/**' }],
      authorities: [{ name: 'release', keyless: { identities }, ...authority }],
    },
  }
  await mkdir(join(directory, 'policies'))
  await writeFile(join(directory, 'policies', 'signed.yaml'), JSON.stringify(policy))
  const config = {
    listen: { data: { port: 0 }, admin: { port: 0 } },
    dataDirectory: 'data',
    upstreams: { 'registry.test': { url: 'https://127.0.0.1:1', allowPrivateAddresses: true } },
    defaultUpstream: null,
    // Or the mirror of the public root would be asked after a while.
    trust: { refresh: 'off' },
    policies: { directory: 'policies' },
  }
  const path = join(directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(config))
  return path
}

suite('what is loaded', () => {
  test('to say which version it is: nothing but the parser of the command line', async () => {
    const { packages, commands } = await loadedBy('--version')
    assert.deepEqual(packages, ['commander'])
    assert.deepEqual(commands, ['io'])
  })

  test('to serve: no other command, and nothing that only some need', async (context) => {
    const config = await configurationWith(context, {})
    const { packages, commands } = await loadedBy('serve', '--config', config)
    assert.ok(packages.includes('zod'), 'files of packages are seen')
    assert.deepEqual(
      packages.filter((name) => ON_DEMAND.includes(name)),
      [],
    )
    assert.deepEqual(commands.toSorted(), ['configure', 'io', 'serve'])
  })

  test('to serve under an expression: what evaluates it, and nothing else', async (context) => {
    const config = await configurationWith(context, { expressions: [{ expression: 'image.name != ""' }] })
    const { packages } = await loadedBy('serve', '--config', config)
    assert.deepEqual(
      packages.filter((name) => ON_DEMAND.includes(name)),
      ['@bufbuild/cel'],
    )
  })
})
