import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogQueue } from './log-queue.ts'

const MEBIBYTE = 1024 * 1024

/** A file that takes as much, or fails, as the test says. */
function setUp() {
  const seen = { text: '', sync: '', dropped: 0, written: 0 }
  const timers: (() => void)[] = []
  const asked: { bytes: Buffer; done: (error: NodeJS.ErrnoException | null, taken: number) => void }[] = []
  const queue = new LogQueue({
    file: {
      write: (bytes, done) => void asked.push({ bytes, done }),
      writeSync(bytes) {
        const taken = Math.min(3, bytes.length)
        seen.sync += bytes.subarray(0, taken).toString()
        return taken
      },
    },
    later: (call) => void timers.push(call),
    onDropped: (lines) => (seen.dropped += lines),
  })
  return {
    queue,
    seen,
    timers,
    asked,
    push: (text: string) => queue.push(Buffer.from(text), () => (seen.written += 1)),
    take: (bytesMax = Infinity) => {
      const { bytes, done } = asked.shift() ?? assert.fail('nothing is being written')
      const taken = bytes.subarray(0, bytesMax)
      seen.text += taken.toString()
      done(null, taken.length)
    },
    fail: (code: string) => asked.shift()?.done(Object.assign(new Error(code), { code }), 0),
  }
}

test('one piece after the other, the rest of each first', () => {
  const { push, take, seen, asked } = setUp()
  push('abc\n')
  push('def\n')
  assert.equal(asked.length, 1)
  take(2)
  assert.equal(seen.written, 0)
  take()
  take()
  assert.deepEqual(seen, { text: 'abc\ndef\n', sync: '', dropped: 0, written: 2 })
  assert.equal(asked.length, 0)
  push('g\n')
  take()
  assert.equal(seen.text, 'abc\ndef\ng\n')
})

for (const code of ['EAGAIN', 'ENOSPC']) {
  test(`after ${code} it goes on later from where it was`, () => {
    const { push, take, fail, seen, timers, asked } = setUp()
    push('abc\n')
    take(2)
    fail(code)
    push('def\n')
    assert.deepEqual([asked.length, timers.length], [0, 1])
    timers.pop()?.()
    take()
    take()
    assert.deepEqual(seen, { text: 'abc\ndef\n', sync: '', dropped: 0, written: 2 })
  })
}

test('where nobody reads any more nothing is kept, and all is counted', async () => {
  const { queue, push, fail, seen, asked } = setUp()
  push('a\nb\n')
  push('c\n')
  const settled = queue.settled()
  fail('EPIPE')
  await settled
  push('d\n')
  assert.deepEqual(seen, { text: '', sync: '', dropped: 4, written: 1 })
  assert.equal(asked.length, 0)
})

test('what does not fit is lost and counted, and what waits is written', () => {
  const { queue, seen, take } = setUp()
  const lines = Buffer.alloc(MEBIBYTE, `${'x'.repeat(1023)}\n`)
  for (let piece = 0; piece < 40; piece += 1) queue.push(lines, () => (seen.written += 1))
  assert.equal(seen.dropped, 8 * 1024)
  for (let piece = 0; piece < 32; piece += 1) take()
  assert.equal(seen.text.length, 32 * MEBIBYTE)
  queue.push(lines, () => undefined)
  assert.equal(seen.dropped, 8 * 1024)
})

test('a process that ends writes what waits, but not what the file is taking', () => {
  const { queue, push, seen } = setUp()
  push('taking\n')
  push('waiting\n')
  queue.becomeSync()
  push('told\n')
  assert.equal(seen.sync, 'waiting\ntold\n')
})

test('the end waits for nobody who does not read: what waits is lost and counted', async () => {
  const { queue, push, take, timers, seen } = setUp()
  push('taking\n')
  push('waiting\nas well\n')
  const settled = queue.settled()
  timers.shift()?.()
  await settled
  queue.becomeSync()
  push('told\n')
  assert.deepEqual([seen.sync, seen.dropped], ['', 3])
  take(3)
  take()
  push('told later\n')
  assert.deepEqual([seen.text, seen.sync, seen.dropped], ['taking\n', 'told later\n', 3])
})

test('the end waits for a reader for as long as he reads, and a second more', async () => {
  const { queue, push, take, timers } = setUp()
  for (const text of ['a\n', 'b\n', 'c\n']) push(text)
  let isSettled = false
  const settling = queue.settled().then(() => (isSettled = true))
  for (let second = 0; second < 2; second += 1) {
    take()
    timers.shift()?.()
    await Promise.resolve()
    assert.deepEqual([isSettled, timers.length], [false, 1])
  }
  timers.shift()?.()
  await settling
})

test('the end does not wait for a disk that is full, and tries once more', async () => {
  const { queue, push, take, fail, seen } = setUp()
  push('abc\n')
  take(2)
  const settled = queue.settled()
  fail('ENOSPC')
  await settled
  queue.becomeSync()
  assert.deepEqual([seen.text, seen.sync], ['ab', 'c\n'])
})
