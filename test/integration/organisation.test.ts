import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { registerPolicy } from '../../src/cli/policy.ts'

/** The registry of an organisation that comes with the project says what its documentation says it does. */

const at = (path: string): string => fileURLToPath(new URL(`../../config/${path}`, import.meta.url))

async function policy(...args: readonly string[]): Promise<{ code: number | undefined; text: string }> {
  let [text, code]: [string, number | undefined] = ['', undefined]
  const io = {
    stdout: (more: string) => void (text += more),
    stderr: (more: string) => void (text += more),
    env: {},
    exit: (status: number) => void (code = status),
  }
  const program = new Command('portcullis').exitOverride()
  registerPolicy(program, io, () => new Date('2026-11-22T00:00:00Z'))
  await program.parseAsync(['node', 'portcullis', 'policy', ...args])
  return { code, text }
}

test('it has neither errors nor warnings', async () => {
  const { code, text } = await policy('check', at('policies'), '--strict')
  assert.equal(code, 0, text)
})

test('it lets through and refuses what its tests say', async () => {
  const { code, text } = await policy('test', at('policy-tests'), '--policies', at('policies'))
  assert.equal(code, 0, text)
  assert.match(text, /17 cases: 17 passed, 0 failed/)
})

/** A test that nothing could fail would not notice that a demand is gone. */
for (const [name, from, to] of [
  ['the ref', 'release\\.yml@refs/tags/v[0-9].*', 'release\\.yml@refs/.*'],
  ['the quorum', 'threshold: 2', 'threshold: 1'],
  ['the age of an approval', 'maxAge: 90d', 'maxAge: 900d'],
] as const) {
  test(`its tests fail where ${name} is asked for less`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'))
    try {
      await cp(at('policies'), directory, { recursive: true })
      for (const file of (await readdir(directory)).filter((one) => one.endsWith('.yaml'))) {
        const path = join(directory, file)
        await writeFile(path, (await readFile(path, 'utf8')).replace(from, to))
      }
      const { code, text } = await policy('test', at('policy-tests'), '--policies', directory)
      assert.equal(code, 1, text)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
}
