import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from './oci/digest.ts'
import { keyed, keyless, RELEASE } from './policy/testing/revocations.ts'
import type { Judgement } from './policy/types.ts'
import {
  APP,
  BY_KEY,
  epochOf,
  IMAGE,
  INDEX,
  judging,
  MANIFEST,
  OF_IMAGE,
  OF_INDEX,
  OF_WORKFLOW,
  OPS,
  outcomeOf,
  policy,
  revoke,
  STOLEN,
} from './testing/judging.ts'

/** Revocations on their way through the judge: outages, indexes, and other signers beside. */

function revokedIn({ results }: Judgement): readonly string[] {
  return results.flatMap(({ policy: name, verdict }) =>
    verdict.kind === 'violated' && verdict.reasons.some(({ code }) => code === 'revoked') ? [name] : [],
  )
}

suite('a digest that is revoked', () => {
  test('is refused though its evidence is valid, from the epoch on in which it is', async () => {
    const { ask, world } = judging(epochOf(BY_KEY))
    world.stored.set(IMAGE, [keyed(OPS.id)])
    assert.equal(outcomeOf(await ask()), 'serve')
    world.epoch = epochOf(BY_KEY, OF_IMAGE)
    assert.equal(outcomeOf(await ask()), 'refuse')
    world.epoch = epochOf(BY_KEY)
    assert.equal(outcomeOf(await ask()), 'serve')
  })

  test('is refused while nothing of it can be had, whatever a stance admits', async () => {
    const { ask, judge, world } = judging(epochOf(BY_KEY, OF_IMAGE))
    world.down.add(IMAGE)
    await assert.rejects(ask())
    const cause = { dependency: 'registry', message: 'down' } as const
    const { judgement } = judge.undetermined(APP, IMAGE, cause)
    assert.deepEqual(
      judgement.results.map(({ policy: name, verdict }) => `${name} ${verdict.kind}`),
      ['incident violated', 'signed undetermined'],
    )
    assert.equal(outcomeOf(judgement), 'refuse')
    assert.equal(outcomeOf(judge.undetermined(APP, INDEX, cause).judgement), 'serve', 'verified before')
    assert.equal(outcomeOf(judge.undetermined(APP, undefined, cause).judgement), 'serve')
  })

  test('may be what is asked for by another digest: no stance lets that pass without its bytes', () => {
    const { judge } = judging(epochOf(BY_KEY, OF_IMAGE))
    const cause = { dependency: 'deadline', message: 'late' } as const
    const bySha512 = digestOf(MANIFEST, 'sha512')
    const { judgement } = judge.undetermined(APP, bySha512, cause)
    assert.equal(outcomeOf(judgement), 'hold')
    assert.deepEqual(judgement.results[0]?.verdict, { kind: 'undetermined', causes: [cause] })
    const manifest = { digest: bySha512, bytes: MANIFEST, parsed: { ok: false, message: 'any' } } as const
    assert.equal(outcomeOf(judge.undetermined(APP, bySha512, cause, manifest).judgement), 'refuse')
    const harmless = { ...manifest, bytes: Buffer.from('harmless') }
    const known = judge.undetermined(APP, bySha512, cause, harmless).judgement
    assert.equal(
      known.results.some(({ policy: name }) => name === 'incident'),
      false,
    )
    for (const documents of [
      [BY_KEY],
      [BY_KEY, OF_WORKFLOW],
      [BY_KEY, revoke(`{ digest: "${IMAGE}" }`, 'mode: off')],
    ]) {
      const other = judging(epochOf(...documents)).judge
      assert.equal(outcomeOf(other.undetermined(APP, bySha512, cause).judgement), 'serve')
    }
  })

  test('is so by whichever digest it is pulled', async () => {
    const { ask, world } = judging(epochOf(BY_KEY, OF_IMAGE))
    const bySha512 = digestOf(MANIFEST, 'sha512')
    world.stored.set(bySha512, [keyed(OPS.id)])
    assert.equal(outcomeOf(await ask(bySha512)), 'refuse')
  })

  test('is refused under an index that is satisfied', async () => {
    const { ask, world, letIn } = judging(epochOf(BY_KEY, OF_IMAGE))
    letIn()
    world.stored.set(INDEX, [keyed(OPS.id)])
    assert.equal(outcomeOf(await ask(INDEX)), 'serve')
    const judgement = await ask()
    assert.deepEqual(revokedIn(judgement), ['incident'])
    assert.equal(outcomeOf(judgement), 'refuse')
  })

  test('covers nothing, but what stands for itself goes on doing so', async () => {
    const { ask, world, letIn } = judging(epochOf(BY_KEY, OF_INDEX))
    letIn()
    world.stored.set(INDEX, [keyed(OPS.id)])
    const judgement = await ask()
    assert.deepEqual([outcomeOf(judgement), revokedIn(judgement)], ['refuse', []])
    const again = judging(epochOf(BY_KEY, OF_INDEX))
    again.letIn()
    again.world.stored.set(INDEX, [keyed(OPS.id)]).set(IMAGE, [keyed(OPS.id)])
    assert.equal(outcomeOf(await again.ask()), 'serve')
  })

  test('covers only where it is observed, and what it covers says so', async () => {
    const observed = revoke(`{ digest: "${INDEX}" }`, 'rings: { canary: observe }')
    const { ask, world, letIn } = judging(epochOf(BY_KEY, observed))
    letIn()
    world.stored.set(INDEX, [keyed(OPS.id)])
    const judgement = await ask()
    assert.deepEqual(revokedIn(judgement), ['incident'])
    assert.deepEqual([outcomeOf(judgement, 'canary'), outcomeOf(judgement)], ['serve', 'refuse'])
  })
})

suite('somebody who is revoked', () => {
  test('does not hide behind a policy that another signer satisfies', async () => {
    const { ask, world } = judging(epochOf(BY_KEY))
    world.stored.set(IMAGE, [keyed(OPS.id), keyless(RELEASE, [], 'internal')])
    assert.equal(outcomeOf(await ask()), 'serve')
    world.epoch = epochOf(BY_KEY, revoke(`{ identity: { subject: "${RELEASE}" }, trustRoot: internal }`))
    const judgement = await ask()
    assert.deepEqual(revokedIn(judgement), ['incident'])
    assert.equal(outcomeOf(judgement), 'refuse')
  })

  test('nor does a key that the document brings', async () => {
    const { ask, world } = judging(epochOf(BY_KEY, revoke('{ key: { file: stolen.pub } }')))
    world.stored.set(IMAGE, [keyed(OPS.id), keyed(STOLEN.id)])
    assert.deepEqual(revokedIn(await ask()), ['incident'])
  })

  test('what could not be had may be of somebody who is revoked: such a judgement does not last', async () => {
    const { ask, judge, world } = judging(epochOf(BY_KEY, OF_WORKFLOW))
    world.stored.set(IMAGE, [keyed(OPS.id)])
    world.isPartial = true
    assert.equal(outcomeOf(await ask()), 'serve')
    world.ms += 10_001
    assert.equal(judge.known(APP, IMAGE), undefined)
    const whole = judging(epochOf(BY_KEY, OF_WORKFLOW))
    whole.world.stored.set(IMAGE, [keyed(OPS.id)])
    await whole.ask()
    whole.world.ms += 10_001
    assert.ok(whole.judge.known(APP, IMAGE))
  })

  test('what is stored is not enough where it is revoked: upstream is asked', async () => {
    const { ask, world } = judging(epochOf(BY_KEY, OF_WORKFLOW))
    world.stored.set(IMAGE, [keyed(OPS.id), keyless(RELEASE)])
    await ask()
    assert.equal(world.asked, 1)
    world.stored.set(INDEX, [keyed(OPS.id)])
    await ask(INDEX)
    assert.equal(world.asked, 1)
  })

  for (const [name, documents] of [
    ['only off policies match', [policy('key: { keySet: release }', 'mode: off'), OF_WORKFLOW]],
    ['no policy matches', [OF_WORKFLOW]],
  ] as const) {
    test(`is refused where ${name}; and what is not yet may be soon`, async () => {
      const { ask, judge, world } = judging(epochOf(...documents))
      assert.equal(outcomeOf(await ask()), 'serve')
      world.stored.set(IMAGE, [keyless(RELEASE)])
      world.ms += 10_001
      assert.equal(judge.known(APP, IMAGE), undefined)
      assert.equal(outcomeOf(await ask()), 'refuse')
    })
  }

  test('of a digest alone no evidence is asked for', async () => {
    const { ask, world } = judging(epochOf(OF_IMAGE))
    world.stored.set(IMAGE, [keyless(RELEASE)])
    assert.equal(outcomeOf(await ask()), 'refuse')
    assert.equal(world.asked, 0)
  })
})
