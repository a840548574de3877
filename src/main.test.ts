import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))

/** The program, with every command replaced by `parse`, the body of a function. */
function runBroken(parse: string): { status: number | null; stderr: string } {
  const commander = import.meta.resolve('commander')
  const program = `import { Command } from ${JSON.stringify(commander)}
    Command.prototype.parseAsync = async function () { ${parse} }`
  const preload = `data:text/javascript,${encodeURIComponent(program)}`
  const { status, stderr } = spawnSync(process.execPath, ['--import', preload, MAIN, 'verify', 'x'], {
    encoding: 'utf8',
  })
  return { status, stderr }
}

for (const [name, parse] of [
  ['a command throws', 'throw new RangeError("broken down")'],
  ['something throws on the side', 'setImmediate(() => { throw new RangeError("broken down") })'],
  ['nobody waits for what fails', 'void Promise.reject(new RangeError("broken down"))'],
] as const) {
  test(`${name}: exit code 2, undetermined, and never 1, which is a refusal`, () => {
    const { status, stderr } = runBroken(parse)
    assert.equal(status, 2)
    assert.match(stderr, /^portcullis: unexpected error: RangeError: broken down\n {4}at /)
  })
}

test('what is no error of ours keeps its code', () => {
  const { status } = spawnSync(process.execPath, [MAIN, 'no-such-command'], { encoding: 'utf8' })
  assert.equal(status, 3)
})
