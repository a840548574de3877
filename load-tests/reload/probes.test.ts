import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { verdictsOf, type Seen } from './probes.ts'

const TIMES = { beganMs: 100, acknowledgedMs: 200 }

/** From side a to side b: what each image got at that time. */
function at(askedMs: number, a: 'served' | 'refused', b: 'served' | 'refused'): readonly Seen[] {
  return [
    { askedMs, side: 'a', isServed: a === 'served' },
    { askedMs, side: 'b', isServed: b === 'served' },
  ]
}

describe('verdictsOf', () => {
  it('finds nothing old where the verdicts change between the beginning and the acknowledgement', () => {
    const seen = [
      at(50, 'served', 'refused'),
      at(150, 'refused', 'served'),
      at(250, 'refused', 'served'),
    ].flat()
    assert.deepEqual(verdictsOf(seen, 'b', TIMES), { asked: 4, old: 0, newAfterMs: 50 })
  })

  it('takes either verdict while the change is on its way', () => {
    const seen = [
      at(120, 'served', 'refused'),
      at(150, 'refused', 'refused'),
      at(180, 'served', 'served'),
    ].flat()
    assert.equal(verdictsOf(seen, 'b', TIMES).old, 0)
  })

  const wrong = [
    { what: 'an image is served after it ceased to count', seen: at(250, 'served', 'served'), old: 1 },
    { what: 'an image is refused after it began to count', seen: at(250, 'refused', 'refused'), old: 1 },
    { what: 'nothing changed', seen: at(250, 'served', 'refused'), old: 2 },
    { what: 'it had changed before it was said', seen: at(50, 'refused', 'served'), old: 2 },
  ]
  for (const { what, seen, old } of wrong) {
    it(`counts where ${what}`, () => assert.equal(verdictsOf(seen, 'b', TIMES).old, old))
  }
})
