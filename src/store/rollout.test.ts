import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openState, refuseWrites } from './testing/state.ts'
import type { Promotion, RolloutStage } from './types.ts'

const stage = (policy: string, ring: string, over: Partial<RolloutStage> = {}): RolloutStage => ({
  policy,
  ring,
  version: 'sha256:1',
  mode: 'observe',
  since: new Date(1_000),
  ...over,
})

describe('rollout stages', () => {
  it('are one a policy and ring: what begins takes the place of what was there', () => {
    const { state } = openState()
    state.changeRolloutStages({ begun: [stage('a', 'canary'), stage('a', 'default')], ended: [] })
    const enforced = stage('a', 'canary', { mode: 'enforce', since: new Date(2_000) })
    state.changeRolloutStages({ begun: [enforced], ended: [] })
    assert.deepEqual(state.rolloutStages(), [enforced, stage('a', 'default')])
    state.changeRolloutStages({ begun: [stage('b', 'canary')], ended: [stage('a', 'default')] })
    assert.deepEqual(state.rolloutStages(), [enforced, stage('b', 'canary')])
  })

  it('begin again where they are damaged, and it is told', () => {
    const { state, database, errors } = openState()
    state.changeRolloutStages({ begun: [stage('a', 'canary'), stage('b', 'canary')], ended: [] })
    database.exec(`UPDATE rollout_stage SET since = 0 WHERE policy = 'a'`)
    assert.deepEqual(state.rolloutStages(), [stage('b', 'canary')])
    assert.match(errors[0]?.message ?? '', /policy a in ring canary is damaged and begins again/)
  })

  it('that the disk refuses throw, and what was there stays', () => {
    const { state, database } = openState()
    state.changeRolloutStages({ begun: [stage('a', 'canary')], ended: [] })
    const accept = refuseWrites(database)
    const change = { begun: [stage('b', 'canary')], ended: [stage('a', 'canary')] }
    assert.throws(() => state.changeRolloutStages(change), { name: 'StoreError' })
    accept()
    assert.deepEqual(state.rolloutStages(), [stage('a', 'canary')])
  })
})

const promotion: Promotion = {
  at: new Date(5_000),
  policy: 'signed',
  ring: 'canary',
  from: 'observe',
  to: 'enforce',
  policyVersion: 'sha256:1',
  by: 'ada at 127.0.0.1',
  isMet: false,
  criteria: '{"days":3}',
  override: 'the release of the century',
}

describe('promotions', () => {
  it('are kept as they were decided, the newest first', () => {
    const { state } = openState()
    const met = { ...promotion, ring: 'default', isMet: true, override: undefined }
    assert.deepEqual([state.recordPromotion(promotion), state.recordPromotion(met)], [1, 2])
    assert.deepEqual(state.promotions(10), [
      { ...met, id: 2 },
      { ...promotion, id: 1 },
    ])
    assert.equal(state.promotions(1).length, 1)
    assert.deepEqual(state.promotions(-1), [])
  })

  it('throw where the disk refuses them', () => {
    const { state, database } = openState()
    refuseWrites(database)
    assert.throws(() => state.recordPromotion(promotion), { name: 'StoreError' })
  })
})
