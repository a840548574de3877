import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { newDirectory } from '../testing/content-store.ts'
import { COUNT_AGE_MS, diskBytesOfThread, DISTRUST_MS, DiskWatch, SLOW_MS, STALLED_MS } from './disk-watch.ts'

function newWatch(diskBytes = 0): { watch: DiskWatch; now: { ms: number; diskBytes: number } } {
  const now = { ms: 0, diskBytes }
  return { watch: new DiskWatch({ elapsed: () => now.ms, diskBytes: () => now.diskBytes }), now }
}

describe('a call that everybody waits for', () => {
  const calls: { name: string; tookMs: number; read: number; waited: boolean }[] = [
    { name: 'prompt', tookMs: SLOW_MS / 2, read: 0, waited: false },
    {
      name: 'prompt, though the disk was asked to read ahead',
      tookMs: SLOW_MS / 2,
      read: 4096,
      waited: false,
    },
    { name: 'slow, because others had the core', tookMs: STALLED_MS - 1, read: 0, waited: false },
    { name: 'slow, because of the disk', tookMs: SLOW_MS, read: 4096, waited: true },
    { name: 'stalled, whatever was counted', tookMs: STALLED_MS, read: 0, waited: true },
    { name: 'prompt, where nobody counts', tookMs: SLOW_MS / 2, read: NaN, waited: false },
    { name: 'slow, where nobody counts', tookMs: SLOW_MS, read: NaN, waited: true },
  ]
  for (const { name, tookMs, read, waited } of calls) {
    for (const outcome of ['is done', 'fails'] as const) {
      it(`has${waited ? '' : ' not'} waited for the disk, and ${outcome}: ${name}`, () => {
        const { watch, now } = newWatch(Number.isNaN(read) ? NaN : 0)
        const call = () =>
          watch.call(() => {
            now.ms += tookMs
            now.diskBytes += read
            if (outcome === 'fails') throw new Error('EIO')
            return 'done'
          })
        if (outcome === 'fails') assert.throws(call, /EIO/)
        else assert.equal(call(), 'done')
        assert.equal(watch.hasWaited(), waited)
      })
    }
  }

  it('is not blamed for what the thread read before', () => {
    const { watch, now } = newWatch()
    watch.call(() => undefined)
    now.diskBytes += 4096
    now.ms += COUNT_AGE_MS
    watch.call(() => (now.ms += SLOW_MS))
    assert.equal(watch.hasWaited(), false)
  })

  it('has waited for as long as that is remembered', () => {
    const { watch, now } = newWatch()
    watch.call(() => (now.ms += STALLED_MS))
    now.ms += DISTRUST_MS - 1
    assert.equal(watch.hasWaited(), true)
    watch.call(() => (now.ms += 1))
    assert.equal(watch.hasWaited(), false)
  })
})

test('the kernel counts by thread what is read from the disk', async (t) => {
  if (!existsSync('/proc/thread-self/io')) return t.skip('/proc/thread-self/io is not there')
  const path = join(await newDirectory(t), 'file')
  await writeFile(path, 'bytes')
  const before = diskBytesOfThread()
  assert.equal(Number.isSafeInteger(before), true)
  // What was just written is in memory.
  assert.equal(readFileSync(path, 'utf8'), 'bytes')
  assert.equal(diskBytesOfThread(), before)
})
