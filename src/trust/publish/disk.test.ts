import assert from 'node:assert/strict'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createRepository } from './testing/ceremony.ts'

async function modeOf(path: string): Promise<string> {
  return ((await fs.stat(path)).mode & 0o777).toString(8)
}

test('under a umask for keys, all that is served can be read by whoever serves it', async () => {
  const before = process.umask(0o077)
  try {
    await using publisher = await createRepository()
    const { repository, published } = publisher
    const entries = await fs.readdir(published, { withFileTypes: true, recursive: true })
    assert.ok(entries.length > 4)
    for (const path of [repository, published]) assert.equal(await modeOf(path), '755', path)
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name)
      assert.equal(await modeOf(path), entry.isDirectory() ? '755' : '644', path)
    }
  } finally {
    process.umask(before)
  }
})

test('a folder that its owner closed stays closed', async () => {
  await using publisher = await createRepository()
  await fs.chmod(publisher.repository, 0o750)
  await fs.chmod(publisher.published, 0o750)
  await publisher.must('timestamp')
  assert.deepEqual([await modeOf(publisher.repository), await modeOf(publisher.published)], ['750', '750'])
})
