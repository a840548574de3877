import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Command } from 'commander'
import { registerTuf } from '../../src/cli/tuf.ts'
import { createTufRepository, type TufRepository } from '../../src/testing/tuf-repository.ts'

/** The protocol of tuf-conformance's CLIENT-CLI.md; what its suite says of us is in docs/tuf-conformance.md. */

type Client = AsyncDisposable & {
  readonly metadata: string
  readonly targets: string
  /** Exit code, and what was said to the user. */
  run(...args: readonly string[]): Promise<[number | undefined, string]>
}

async function createClient(repository: TufRepository): Promise<Client> {
  const directory = await mkdtemp(join(tmpdir(), 'tuf-client-'))
  const [metadata, targets] = [join(directory, 'metadata'), join(directory, 'targets')]
  const root = join(directory, 'initial_root.json')
  await writeFile(root, repository.root())
  await using disposal = new AsyncDisposableStack()
  disposal.defer(async () => await rm(directory, { recursive: true }))
  const run = async (...args: readonly string[]): Promise<[number | undefined, string]> => {
    const said: string[] = []
    let code: number | undefined
    const program = new Command('portcullis')
    registerTuf(program, {
      stdout: (text) => void said.push(text),
      stderr: (text) => void said.push(text),
      env: {},
      exit: (given) => {
        code = given
      },
    })
    await program.parseAsync(['node', 'portcullis', 'tuf', '--metadata-dir', metadata, ...args])
    return [code, said.join('')]
  }
  assert.deepEqual(await run('init', root), [0, ''])
  const kept = disposal.move()
  return { metadata, targets, run, [Symbol.asyncDispose]: async () => await kept.disposeAsync() }
}

test('init takes a root, asks nobody, and nothing but a root', async () => {
  await using repository = await createTufRepository({ targets: {} })
  await using client = await createClient(repository)
  assert.deepEqual(await readFile(join(client.metadata, 'root.json')), repository.root())
  assert.deepEqual(repository.requests, [])
  await writeFile(join(client.metadata, 'other.json'), '{}')
  const [code, said] = await client.run('init', join(client.metadata, 'other.json'))
  assert.deepEqual([code, /^tuf: initial root of .*signed is not defined\n$/.test(said)], [1, true])
})

test('refresh keeps the metadata by role, and refuses what a mirror refuses', async () => {
  await using repository = await createTufRepository({ targets: { 'a/b.txt': 'content' } })
  await using client = await createClient(repository)
  const refresh = async () => await client.run('--metadata-url', `${repository.url}/`, 'refresh')
  assert.deepEqual(await refresh(), [0, ''])
  assert.deepEqual((await readdir(client.metadata)).toSorted(), [
    'root.json',
    'snapshot.json',
    'targets.json',
    'timestamp.json',
  ])
  await repository.fault('expired')
  const [code, said] = await refresh()
  assert.equal(code, 1)
  assert.match(said, /^tuf: http:.*timestamp\.json \(version 3\) expired at .*\n$/)
})

test('download gets each target once, and stops at the first that fails', async () => {
  await using repository = await createTufRepository({ targets: { 'a/b.txt': 'content', c: 'more' } })
  await using client = await createClient(repository)
  await mkdir(client.targets)
  const download = async (...names: readonly string[]) =>
    await client.run(
      '--metadata-url',
      repository.url,
      ...names.flatMap((name) => ['--target-name', name]),
      '--target-base-url',
      `${repository.url}/targets/`,
      '--target-dir',
      client.targets,
      'download',
    )
  const asked = () => repository.requests.filter((path) => path.startsWith('targets/')).length
  assert.deepEqual(await download('a/b.txt'), [0, ''])
  assert.deepEqual(await download('a/b.txt', 'c'), [0, ''])
  assert.equal(asked(), 2)
  const [code, said] = await download('none', 'c')
  assert.equal(code, 1)
  assert.match(said, /^tuf: .*the repository has no target none\n$/)
  repository.publish({ d: 'd' })
  await repository.fault('wrong-hash')
  assert.equal((await download('d'))[0], 1)
  assert.equal((await readdir(client.targets)).length, 2)
})

test('a command line that says too little', async () => {
  await using repository = await createTufRepository({ targets: {} })
  await using client = await createClient(repository)
  assert.deepEqual(await client.run('refresh'), [3, 'tuf: --metadata-url is missing\n'])
  assert.deepEqual(await client.run('download'), [3, 'tuf: --target-name is missing\n'])
})
