import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { StoreError } from './error.ts'
import { lockDirectory } from './lock.ts'

describe('lockDirectory', () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-lock-'))
  })
  after(async () => await rm(directory, { recursive: true, force: true }))

  it('lets one in at a time', () => {
    const unlock = lockDirectory(directory)
    assert.throws(
      () => lockDirectory(directory),
      (error) => error instanceof StoreError && error.code === 'in-use',
    )
    unlock()
    lockDirectory(directory)()
  })

  it('is gone with a process that did not give it back', () => {
    const program = `import { lockDirectory } from ${JSON.stringify(new URL('lock.ts', import.meta.url).href)}
      lockDirectory(${JSON.stringify(directory)}); process.kill(process.pid, 'SIGKILL')`
    assert.throws(() =>
      execFileSync(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'ignore' }),
    )
    lockDirectory(directory)()
  })
})
