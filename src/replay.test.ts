import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseImageReference } from './oci/reference.ts'
import { RecentPulls, replay, type JudgeFresh } from './replay.ts'

const never = new AbortController().signal

function setUp() {
  const clock = { ms: 100_000 }
  const recent = new RecentPulls(() => clock.ms)
  const note = (name: string, client = '10.0.0.1', isServed = true, ring = 'default') => {
    const image = parseImageReference(`r.test/${name}`) ?? assert.fail(name)
    recent.note({ ...image, client, ring: { name: ring, stanceLimit: undefined }, isServed })
  }
  return { clock, recent, note }
}

/** The name of an image says what becomes of it. */
const byName: JudgeFresh = async ({ repository }) => {
  const outcome = (['serve', 'admitted', 'hold', 'refuse'] as const).find((one) =>
    repository.name.startsWith(one),
  )
  if (outcome === undefined) throw new Error('no such image')
  return await Promise.resolve({ outcome, why: `because of ${repository.name}` })
}

describe('recent pulls', () => {
  it('each image once, with its clients, its last time and what became of it', () => {
    const { clock, recent, note } = setUp()
    note('app:v1', '10.0.0.1', false)
    note('other:v1')
    clock.ms += 5_000
    note('app:v1', '10.0.0.2')
    note('app:v1', '10.0.0.2')
    const [app, other] = recent.list()
    assert.deepEqual([app?.repository.name, app?.clients, app?.isServed], ['app', 2, true])
    assert.equal(app?.lastAt.getTime(), 105_000)
    assert.equal(other?.lastAt.getTime(), 100_000)
  })

  it('keeps a thousand, and of each so many clients', () => {
    const { recent, note } = setUp()
    for (let image = 0; image < 1_100; image += 1) note(`app-${image}:v1`)
    for (let client = 0; client < 300; client += 1) note('last:v1', `10.0.${client >> 8}.${client & 255}`)
    assert.equal(recent.list().length, 1_000)
    assert.equal(recent.list()[0]?.clients, 256)
    assert.equal(
      recent.list().some(({ repository }) => repository.name === 'app-0'),
      false,
    )
  })
})

describe('replay', () => {
  it('counts outcomes and lists what would not end as now, most clients first', async () => {
    const { recent, note } = setUp()
    note('serve-served:v1')
    note('admitted-served:v1')
    note('hold-served:v1')
    note('hold-busy:v1', '10.0.0.1')
    note('hold-busy:v1', '10.0.0.2')
    note('hold-refused:v1', '10.0.0.1', false)
    note('refuse-refused:v1', '10.0.0.1', false)
    note('admitted-refused:v1', '10.0.0.1', false)
    const { counts, left, findings } = await replay(recent.list(), byName, never)
    assert.deepEqual(counts, { serve: 1, admitted: 2, hold: 3, refuse: 1 })
    assert.equal(left, 0)
    assert.deepEqual(
      findings.map(({ kind, image, outcome, clients }) => [kind, image, outcome, clients]),
      [
        ['lost', 'r.test/hold-busy:v1', 'hold', 2],
        ['let-in', 'r.test/admitted-refused:v1', 'admitted', 1],
        ['lost', 'r.test/hold-served:v1', 'hold', 1],
      ],
    )
    assert.equal(findings[0]?.why, 'because of hold-busy')
  })

  it('what fails is held', async () => {
    const { recent, note } = setUp()
    note('unknown:v1')
    const { counts, findings } = await replay(recent.list(), byName, never)
    assert.equal(counts.hold, 1)
    assert.deepEqual([findings[0]?.kind, findings[0]?.why], ['lost', 'no such image'])
  })

  it('never judges more than a few at a time', async () => {
    const { recent, note } = setUp()
    for (let image = 0; image < 50; image += 1) note(`serve-${image}:v1`)
    const load = { now: 0, peak: 0 }
    const judge: JudgeFresh = async () => {
      load.now += 1
      load.peak = Math.max(load.peak, load.now)
      await new Promise(setImmediate)
      load.now -= 1
      return { outcome: 'serve', why: '' }
    }
    assert.equal((await replay(recent.list(), judge, never)).counts.serve, 50)
    assert.equal(load.peak, 4)
  })

  it('stops when time is up, and says how many are left', async () => {
    const { recent, note } = setUp()
    for (let image = 0; image < 50; image += 1) note(`serve-${image}:v1`)
    const time = new AbortController()
    const judge: JudgeFresh = async (pull) => {
      time.abort()
      return await byName(pull, new Map())
    }
    const { counts, left } = await replay(recent.list(), judge, time.signal)
    assert.equal(counts.serve + left, 50)
    assert(left > 0)
  })
})
