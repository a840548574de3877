import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseTag } from '../oci/reference.ts'
import { digest, openState, repository } from './testing/state.ts'

const APP = repository('acme/app')
const NOTHING = { candidates: [], rejected: [], failures: [] }

/** The clock stands at 1,000,000. */
for (const { name, stored, next, isReplaced } of [
  { name: 'what was learned earlier', stored: 1_000, next: 2_000, isReplaced: true },
  { name: 'what was learned in the same moment', stored: 1_000, next: 1_000, isReplaced: true },
  { name: 'not what was learned later', stored: 2_000, next: 1_000, isReplaced: false },
  {
    name: 'what a clock that was wrong has put into the future',
    stored: 1_000_001,
    next: 1_000,
    isReplaced: true,
  },
]) {
  it(`a tag and evidence replace ${name}`, () => {
    const { state } = openState()
    const tag = parseTag('v1') ?? assert.fail()
    state.setTag(APP, tag, digest('stored'), new Date(stored))
    state.setTag(APP, tag, digest('next'), new Date(next))
    assert.equal(state.getTag(APP, tag)?.digest, digest(isReplaced ? 'next' : 'stored'))
    for (const ms of [stored, next]) state.setEvidence(APP, digest('image'), NOTHING, new Date(ms))
    assert.deepEqual(
      state.getEvidence(APP, digest('image'))?.gatheredAt,
      new Date(isReplaced ? next : stored),
    )
    state.close()
  })
}
