import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'

/** Writes 40 MB of lines, and says on standard error what /metrics would. */
const PROGRAM = `
  import { createWatch } from ${JSON.stringify(new URL('watch.ts', import.meta.url).href)}
  const watch = createWatch({ log: { level: 'info' } }, () => new Date())
  for (let index = 0; index < 40; index++) watch.writeLines((JSON.stringify({ a: 'x'.repeat(99_990) }) + '\\n').repeat(10))
  process.stderr.end(await watch.metrics.registry.getSingleMetricAsString('portcullis_log_lines_dropped_total'))
`

test('a log that nobody reads takes no memory without end: what does not fit is counted', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM])
  const said = await text(child.stderr)
  child.kill('SIGKILL')
  const dropped = Number(/^portcullis_log_lines_dropped_total (\d+)$/m.exec(said)?.[1])
  assert.ok(dropped >= 60 && dropped <= 100, said)
})

/** Says much, and breaks down while most of it waits. */
const BREAKING = `
  import { createWatch } from ${JSON.stringify(new URL('watch.ts', import.meta.url).href)}
  const watch = createWatch({ log: { level: 'info' } }, () => new Date())
  for (let line = 0; line < 5_000; line++) watch.log.info({ line }, 'x'.repeat(100))
  process.exit(2)
`

test('what was said before the program broke down is written, whole and in order', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', BREAKING])
  const lines = (await text(child.stdout)).split('\n').slice(0, -1)
  const numbers = lines.map((line) => {
    const { line: number }: Record<string, unknown> = JSON.parse(line)
    return number
  })
  assert.deepEqual(
    numbers,
    Array.from({ length: 5_000 }, (_, line) => line),
  )
})
