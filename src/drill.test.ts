import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DRILL_DEPENDENCIES, DRILL_MS_MAX, DrillError, Drills, type DrillDependency } from './drill.ts'

function setUp() {
  const clock = { ms: Date.UTC(2026, 0, 1) }
  const events: string[] = []
  const drills = new Drills({ now: () => new Date(clock.ms), onEvent: ({ kind }) => void events.push(kind) })
  const start = (...dependencies: DrillDependency[]) =>
    drills.start({ dependencies, forMs: 300_000, by: 'ada' })
  return { clock, events, drills, start }
}

describe('what is down', () => {
  const cases: [DrillDependency[], DrillDependency[]][] = [
    [['registry'], ['registry']],
    [['kms'], ['kms']],
    [['rekor'], ['rekor']],
    [['sigstore'], ['sigstore', 'rekor']],
    [
      ['registry', 'kms'],
      ['registry', 'kms'],
    ],
    [[...DRILL_DEPENDENCIES], [...DRILL_DEPENDENCIES]],
  ]
  for (const [taken, down] of cases) {
    it(`${taken.join(', ')}: ${down.join(', ')}`, () => {
      const { drills, start } = setUp()
      start(...taken)
      assert.deepEqual(
        DRILL_DEPENDENCIES.filter((dependency) => drills.isDown(dependency)),
        DRILL_DEPENDENCIES.filter((dependency) => down.includes(dependency)),
      )
    })
  }

  it('nothing without a drill', () => {
    const { drills } = setUp()
    for (const dependency of DRILL_DEPENDENCIES) drills.guard(dependency)
    assert.equal(drills.status(), undefined)
  })
})

it('a guarded call is not made, and says why', () => {
  const { drills, start } = setUp()
  start('kms')
  assert.throws(
    () => drills.guard('kms'),
    (error: unknown) => {
      assert(error instanceof DrillError)
      assert.equal(error.code, 'taken-away')
      assert.equal(error.message, 'kms is taken away by a drill until 2026-01-01T00:05:00.000Z')
      return true
    },
  )
  drills.guard('registry')
})

describe('the end', () => {
  it('comes by itself', () => {
    const { clock, drills, events, start } = setUp()
    start('registry')
    clock.ms += 299_999
    assert.equal(drills.isDown('registry'), true)
    clock.ms += 1
    assert.equal(drills.isDown('registry'), false)
    assert.equal(drills.status(), undefined)
    assert.deepEqual(events, ['started', 'expired'])
  })

  it('comes when somebody ends it, once', () => {
    const { drills, events, start } = setUp()
    start('registry')
    assert.deepEqual(drills.stop()?.dependencies, ['registry'])
    assert.equal(drills.stop(), undefined)
    assert.equal(drills.isDown('registry'), false)
    assert.deepEqual(events, ['started', 'stopped'])
  })

  it('comes when the clock is set back', () => {
    const { clock, drills, start } = setUp()
    start('registry')
    clock.ms -= 1
    assert.equal(drills.isDown('registry'), false)
  })
})

it('one at a time; after its end the next', () => {
  const { clock, drills, start } = setUp()
  assert.equal(start('registry').ok, true)
  const second = start('kms')
  assert.equal(second.ok, false)
  assert.deepEqual([second.drill.dependencies, second.drill.by], [['registry'], 'ada'])
  assert.equal(drills.isDown('kms'), false)
  clock.ms += 300_000
  assert.equal(start('kms').ok, true)
})

for (const [name, forMs] of Object.entries({
  'no time': 0,
  'negative time': -1,
  'too long': DRILL_MS_MAX + 1,
  NaN,
})) {
  it(`${name} is refused`, () => {
    const { drills } = setUp()
    assert.throws(() => drills.start({ dependencies: ['kms'], forMs, by: 'ada' }), RangeError)
    assert.throws(() => drills.start({ dependencies: [], forMs: 1_000, by: 'ada' }), RangeError)
  })
}
