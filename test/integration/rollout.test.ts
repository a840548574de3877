import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROVENANCE, startRollout } from './rollout-edge.ts'

/**
 * One rollout from the first observation to the second requirement, in days that a clock of our own makes pass. Policies
 * are files that `rollout promote` edits; signatures are real ones; what a pull gets is what `enforce` makes of them.
 */

test('a rollout: observe, gap list, beachhead, ring by ring, tighten', async (t) => {
  await using edge = await startRollout()
  const { mint, pull, rollout, refusal, promoted, status, pass } = edge
  await mint('sign', 'app')
  await mint('sign', 'api')

  await t.test('observe: everything is served, and the gap list names what is not signed', async () => {
    pass(2, 'app', 'api', 'legacy')
    assert.equal(pull('beachhead', 'legacy'), 'serve')
    const { stdout } = await rollout('gaps', '--policy', 'signed', '--ring', 'beachhead')
    assert.match(stdout, /^signed in ring beachhead, observe since 2026-01-05T/)
    assert.match(
      stdout,
      /\n {2}ghcr\.io\/acme\/legacy@sha256:\w{64} \(v1\): 3 pulls, .*\n {4}block: unsigned: no sig/,
    )
    assert.doesNotMatch(stdout, /acme\/(?:app|api)@/)
    const { signed, images, gapImages } = await status('signed', 'beachhead')
    assert.deepEqual([signed, images, gapImages], [2, 3, 1])
  })

  await t.test('nothing is enforced before its criteria hold', async () => {
    const wouldBlock = 'would-blocks: 1 of at most 0'
    assert.deepEqual(await refusal('signed', 'beachhead'), ['days: 2 of at least 7', wouldBlock])
    pass(5, 'app', 'api', 'legacy')
    assert.deepEqual(await refusal('signed', 'beachhead'), [wouldBlock])
    assert.equal(edge.state.promotions(10).length, 0)
    assert.doesNotMatch(await edge.policyText('signed'), /enforce/)
  })

  await t.test('beachhead: once its gap is closed, it is enforced there and nowhere else', async () => {
    await mint('sign', 'legacy')
    pass(1, 'app', 'api', 'legacy')
    assert.match(
      await promoted('signed', 'beachhead'),
      /every criterion held\nwrote .*spec\.rings\.beachhead: enforce/,
    )
    assert.match(
      await edge.policyText('signed'),
      /\n {2}mode: observe # everywhere else\n {2}rings:\n {4}beachhead: enforce\n/,
    )
    assert.deepEqual(
      ['beachhead', 'fleet', 'default'].map((ring) => pull(ring, 'unsigned')),
      ['refuse', 'serve', 'serve'],
    )
    const { mode, days, pulls } = await status('signed', 'beachhead')
    assert.deepEqual([mode, days, pulls], ['enforce', 0, 1], 'a stage of its own')
  })

  await t.test(
    'ring by ring: no ring before those that come before it, none with a gap of its own',
    async () => {
      assert.deepEqual(await refusal('signed', 'default'), [
        'order: ring fleet comes first and is in mode observe',
        'would-blocks: 1 of at most 0',
      ])
      assert.deepEqual(await refusal('signed', 'fleet'), ['would-blocks: 1 of at most 0'])
      // Nobody pulls it any more: it is still listed, and after as many days as the stage must last it does not count.
      pass(6, 'app', 'api', 'legacy')
      assert.deepEqual(await refusal('signed', 'fleet'), ['would-blocks: 1 of at most 0'])
      pass(2, 'app', 'api', 'legacy')
      assert.equal((await status('signed', 'fleet')).gapImages, 1)
      await promoted('signed', 'fleet')
      assert.deepEqual([pull('fleet', 'unsigned'), pull('default', 'unsigned')], ['refuse', 'serve'])
    },
  )

  await t.test('an override does it all the same, and is on record with what it overrode', async () => {
    assert.deepEqual(await refusal('signed', 'default'), ['would-blocks: 1 of at most 0'])
    const stdout = await promoted('signed', 'default', '--override', 'the audit is on Monday')
    assert.match(
      stdout,
      /\n {2}overridden: the audit is on Monday\n {2}not met: would-blocks: 1 of at most 0\n/,
    )
    assert.equal(pull('default', 'unsigned'), 'refuse')
    const [newest] = edge.state.promotions(1)
    assert.deepEqual(
      [newest?.ring, newest?.isMet, newest?.override],
      ['default', false, 'the audit is on Monday'],
    )
  })

  await t.test('tighten: another requirement has its own cycle, and the first stays enforced', async () => {
    await edge.writePolicy('attested', PROVENANCE)
    await edge.load()
    pass(8, 'app', 'api')
    assert.equal(pull('beachhead', 'unsigned'), 'refuse')
    const { signed, withProvenance, images } = await status('attested', 'beachhead')
    assert.deepEqual([signed, withProvenance, images], [2, 0, 2], 'without what is refused already')
    assert.deepEqual(await refusal('attested', 'beachhead'), ['would-blocks: 2 of at most 0'])
    await mint('attest', 'app')
    pass(1, 'app', 'api')
    assert.deepEqual(await refusal('attested', 'beachhead'), ['would-blocks: 1 of at most 0'])
    await mint('attest', 'api')
    pass(1, 'app', 'api')
    await promoted('attested', 'beachhead')
    assert.deepEqual(
      ['beachhead', 'fleet'].map((ring) => pull(ring, 'legacy')),
      ['refuse', 'serve'],
      'it is signed and has no provenance',
    )
    assert.deepEqual([pull('beachhead', 'app'), pull('default', 'unsigned')], ['serve', 'refuse'])
  })

  await t.test('history: who did what on what grounds', async () => {
    const { stdout } = await rollout('history')
    const steps = stdout.split('\n').filter((line) => line.startsWith('promotion'))
    assert.deepEqual(
      steps.map((line) => /policy (.+), by ada at 127\.0\.0\.1/.exec(line)?.[1]),
      [
        'attested in ring beachhead: observe -> enforce',
        'signed in ring default: observe -> enforce',
        'signed in ring fleet: observe -> enforce',
        'signed in ring beachhead: observe -> enforce',
      ],
    )
  })
})
