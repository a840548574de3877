import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
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

test('the image starts Node with the flags of bin/portcullis, and so compiles for them: for others the cache counts as empty', () => {
  const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
  const flags = /^exec "\$node" (--.+) "\$root/m.exec(read('bin/portcullis'))?.[1]
  assert.ok(flags !== undefined && flags.includes('--max-semi-space-size='))
  const dockerfile = read('Dockerfile')
  const quoted = flags.split(' ').map((flag) => `"${flag}"`)
  assert.ok(dockerfile.includes(`ENTRYPOINT ["node", ${quoted.join(', ')}, "/app/src/main.ts"]`))
  const runs = dockerfile.match(/\bnode (?=--|src\/)[^\n]*/g) ?? []
  assert.ok(runs.length >= 3)
  for (const run of runs) assert.ok(run.startsWith(`node ${flags} `), run)
})
