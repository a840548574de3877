import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogOutput } from './log-output.ts'

function setUp() {
  const pieces: string[] = []
  const timers: (() => void)[] = []
  const taking: (() => void)[] = []
  const output = new LogOutput({
    file: {
      write(bytes, done) {
        taking.push(() => {
          pieces.push(bytes.toString())
          done(null, bytes.length)
        })
      },
      writeSync(bytes) {
        pieces.push(`sync ${bytes.toString()}`)
        return bytes.length
      },
    },
    later: (call) => void timers.push(call),
    onDropped: () => assert.fail('nothing is lost'),
  })
  return {
    output,
    pieces,
    timers,
    /** The file takes what it was given, and what it is given then. */
    take: () => {
      for (let take = taking.shift(); take !== undefined; take = taking.shift()) take()
    },
  }
}

test('lines wait for one another until it is time, and are written in one piece', () => {
  const { output, pieces, timers, take } = setUp()
  output.write('a\n')
  output.begin(10)
  output.append(Buffer.from('b'))
  output.appendText('c\n')
  output.end()
  take()
  assert.deepEqual([pieces, timers.length], [[], 1])
  timers.pop()?.()
  take()
  assert.deepEqual(pieces, ['a\nbc\n'])
  output.write('d\n')
  assert.equal(timers.length, 1)
})

test('a busy log is written without waiting, in order and only whole lines in each piece', () => {
  const { output, pieces, take } = setUp()
  const lines = Array.from({ length: 5_000 }, (_, line) => `${line} ${'x'.repeat(line % 150)}\n`)
  for (const [index, line] of lines.entries()) {
    output.write(line)
    // The memory of what was written is filled again.
    if (index % 1_000 === 0) take()
  }
  take()
  assert.ok(pieces.length > 4)
  for (const piece of pieces) assert.ok(piece.endsWith('\n'))
  output.flush()
  take()
  assert.equal(pieces.join(''), lines.join(''))
})

test('a line that is longer than what is written at once is written whole, and in its place', () => {
  const { output, pieces, take } = setUp()
  const long = `${'€'.repeat(100_000)}\n`
  for (const line of ['a\n', long, 'b\n']) output.write(line)
  output.flush()
  take()
  assert.equal(pieces.join(''), `a\n${long}b\n`)
})

test('a process that ends at once leaves nothing unwritten', () => {
  const { output, pieces } = setUp()
  output.write('a\n')
  output.closeSync()
  output.write('b\n')
  assert.deepEqual(pieces, ['sync a\n', 'sync b\n'])
})

test('at the end it waits for what is on its way', async () => {
  const { output, pieces, take } = setUp()
  output.write('a\n')
  let isClosed = false
  const closing = output.close().then(() => (isClosed = true))
  await Promise.resolve()
  assert.equal(isClosed, false)
  take()
  await closing
  output.write('b\n')
  assert.deepEqual(pieces, ['a\n', 'sync b\n'])
})
