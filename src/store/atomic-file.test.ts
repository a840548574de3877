import assert from 'node:assert/strict'
import nodeFiles, { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { writeFileAtomically, type AtomicFiles } from './atomic-file.ts'

async function directoryOf(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'atomic-'))
  context.after(() => rm(directory, { recursive: true }))
  return directory
}

suite('writeFileAtomically', () => {
  test('writes, replaces, and leaves nothing beside it', async (context) => {
    const directory = await directoryOf(context)
    const path = join(directory, 'a')
    await writeFileAtomically(path, 'one')
    await writeFileAtomically(path, Buffer.from('two'))
    assert.equal(await readFile(path, 'utf8'), 'two')
    assert.deepEqual(await readdir(directory), ['a'])
  })

  const broken: readonly (readonly [string, Partial<AtomicFiles>])[] = [
    ['a disk that is full', { open: () => Promise.reject(new Error('ENOSPC')) }],
    ['a rename that fails', { rename: () => Promise.reject(new Error('EIO')) }],
  ]
  for (const [name, faults] of broken) {
    test(`${name}: what was there stays, whole`, async (context) => {
      const directory = await directoryOf(context)
      const path = join(directory, 'a')
      await writeFileAtomically(path, 'one')
      await assert.rejects(writeFileAtomically(path, 'two', { files: { ...nodeFiles, ...faults } }))
      assert.equal(await readFile(path, 'utf8'), 'one')
      assert.deepEqual(await readdir(directory), ['a'])
    })
  }
})
