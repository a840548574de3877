import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openColdDirectory } from './cold-directory.ts'

describe('the directory in which cold workers listen', () => {
  let directory = ''
  let cold = ''
  before(async () => (directory = await mkdtemp(join(tmpdir(), 'portcullis-cold-directory-'))))
  before(async () => await mkdir((cold = join(directory, 'cold'))))
  before(async () => await writeFile(join(cold, '1'), 'of a run that was killed'))
  after(async () => await rm(directory, { recursive: true }))

  test('is left alone where there are none', async () => {
    const opened = await openColdDirectory({ dataDirectory: directory, coldWorkers: 0 })
    assert.ok(opened.ok)
    await opened.close()
    assert.deepEqual(await readdir(cold), ['1'])
  })

  test('is empty and only theirs at the start, and gone at the end', async () => {
    const opened = await openColdDirectory({ dataDirectory: directory, coldWorkers: 1 })
    assert.ok(opened.ok)
    assert.deepEqual([await readdir(cold), (await stat(cold)).mode & 0o777], [[], 0o700])
    await opened.close()
    assert.deepEqual(await readdir(directory), [])
  })

  test('says why it cannot be made', async () => {
    const file = join(directory, 'file')
    await writeFile(file, '')
    const opened = await openColdDirectory({ dataDirectory: file, coldWorkers: 1 })
    assert.ok(!opened.ok)
    assert.match(
      opened.problem,
      /^cannot make the directory in which cold workers listen: ENOTDIR: .*file\/cold/,
    )
  })
})
