import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ToKeeper } from './messages.ts'
import { BEAT_MS } from './pulse.ts'
import { WorkerLife } from './worker-life.ts'

function setUp() {
  const sent: ToKeeper[] = []
  const beats: (() => void)[] = []
  const setting = { sent, abandoned: 0, beat: () => beats.forEach((work) => work()) }
  const life = new WorkerLife({
    send: async (message) => void sent.push(message),
    end: () => undefined,
    abandoned: () => void (setting.abandoned += 1),
    giveWay: () => undefined,
    every: (ms, work) => void (ms === BEAT_MS && beats.push(work)),
  })
  return Object.assign(setting, { life })
}

test('a worker answers its keeper, also before it has begun', () => {
  const { life, sent } = setUp()
  life.hear({ kind: 'ping' })
  assert.deepEqual(sent, [{ kind: 'pong' }])
})

test('a worker that its keeper has not asked after for 20 s ends itself', () => {
  const setting = setUp()
  for (let beats = 0; beats < 20; beats++) {
    setting.beat()
    if (beats % 4 === 3) setting.life.hear({ kind: 'ping' })
  }
  assert.equal(setting.abandoned, 0)
  for (let beats = 0; beats < 4; beats++) setting.beat()
  assert.equal(setting.abandoned, 0)
  setting.beat()
  assert.equal(setting.abandoned, 1)
})
