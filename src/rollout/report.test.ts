import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PolicySet } from '../policy/types.ts'
import { openState } from '../store/testing/state.ts'
import type { Sighting } from '../store/types.ts'
import { DAY_MS } from './criteria.ts'
import { rolloutReport, type RolloutRow } from './report.ts'
import { noteStages } from './stages.ts'
import { CRITERIA, policyOf, RINGS, setOf, sightingOf, UNSIGNED } from './testing/rollout.ts'

const START_MS = 100 * DAY_MS
const day = (days: number) => new Date(START_MS + days * DAY_MS)

type Past = { set?: PolicySet; days?: number; batches?: readonly (readonly Sighting[])[] }

/** What is known of `days` days of one set, as the store gives it. */
async function rowsAfter({ set = setOf(policyOf('signed')), days = 10, batches = [] }: Past) {
  const { state } = openState()
  noteStages(set, day(0), { rings: RINGS, state })
  for (const batch of batches) state.noteSightings(batch)
  const paused = { times: 0 }
  const report = await rolloutReport(
    { set, rings: RINGS, stages: state.rolloutStages(), now: day(days) },
    (since) => state.sightings(since),
    async () => {
      paused.times += 1
      await Promise.resolve()
    },
  )
  const row = (policy: string, ring: string): RolloutRow =>
    report.rows.find((one) => one.policy === policy && one.ring === ring) ?? assert.fail(`${policy} ${ring}`)
  return { report, row, paused }
}

describe('a report', () => {
  it('has a row for every policy and ring, in their order, and one for images without a policy', async () => {
    const { report } = await rowsAfter({ set: setOf(policyOf('signed'), policyOf('zoned')) })
    assert.deepEqual(
      report.rows.map(({ policy, ring }) => `${policy} ${ring}`),
      ['signed', 'zoned', 'unmatched'].flatMap((policy) => RINGS.map((ring) => `${policy} ${ring}`)),
    )
  })

  it('counts pulls, images and coverage of the ring and the stage', async () => {
    const { row } = await rowsAfter({
      batches: [
        [
          sightingOf('a', 'signed', { at: day(1), pulls: 4, hasProvenance: true }),
          sightingOf('b', 'signed', { at: day(2), pulls: 2, isSigned: false, result: UNSIGNED }),
          sightingOf('c', 'signed', { at: day(2), ring: 'prod' }),
          sightingOf('d', 'another', { at: day(2) }),
        ],
      ],
    })
    const { since, days, pulls, images, signed, withProvenance, gapImages } = row('signed', 'beta')
    assert.deepEqual(
      { since, days, pulls, images, signed, withProvenance, gapImages },
      { since: day(0), days: 10, pulls: 6, images: 2, signed: 1, withProvenance: 1, gapImages: 1 },
    )
    assert.deepEqual([row('signed', 'prod').images, row('signed', 'default').images], [1, 0])
  })

  it('leaves out what was pulled before the stage, in another mode, or judged by another version', async () => {
    const { row } = await rowsAfter({
      batches: [
        [
          sightingOf('before', 'signed', { at: day(-1) }),
          sightingOf('mode', 'signed', { at: day(1), result: { mode: 'enforce' } }),
          sightingOf('version', 'signed', { at: day(1), result: { version: 'sha256:old' } }),
        ],
      ],
    })
    assert.equal(row('signed', 'beta').images, 0)
  })

  it('leaves out what another policy refuses already, and has what the policy itself refuses', async () => {
    const set = setOf(policyOf('signed'), policyOf('enforced', { fallback: 'enforce' }))
    const [observed] = sightingOf('a', 'signed', { result: UNSIGNED }).results
    const [refused] = sightingOf('a', 'enforced', { result: { ...UNSIGNED, mode: 'enforce' } }).results
    assert.ok(observed !== undefined && refused !== undefined)
    const results = [observed, refused]
    const { row } = await rowsAfter({
      set,
      batches: [[sightingOf('a', 'signed', { at: day(9), outcome: 'refuse', results })]],
    })
    assert.deepEqual([row('signed', 'beta').gapImages, row('enforced', 'beta').gapImages], [0, 1])
  })

  it('counts one pull of an image that was counted before the stage began and is pulled in it', async () => {
    const pulled = { pulls: 50, at: day(-2) }
    const { row } = await rowsAfter({
      batches: [[sightingOf('a', 'signed', pulled)], [sightingOf('a', 'signed', { pulls: 2, at: day(1) })]],
    })
    assert.deepEqual([row('signed', 'beta').images, row('signed', 'beta').pulls], [1, 1])
  })

  it('groups would-blocks by reason, and has the images that are pulled most', async () => {
    const foreign = { verdict: 'violated', because: 'wrong-identity: a signature by mallory' } as const
    const held = { verdict: 'undetermined', because: 'kms: the key was never had' } as const
    const { row } = await rowsAfter({
      batches: [
        [
          sightingOf('a', 'signed', { at: day(9), result: UNSIGNED }),
          sightingOf('b', 'signed', { at: day(9), pulls: 8, result: UNSIGNED }),
          sightingOf('c', 'signed', { at: day(9), pulls: 3, result: foreign }),
          sightingOf('d', 'signed', { at: day(9), pulls: 2, result: held }),
          sightingOf('e', 'signed', { at: day(9) }),
        ],
      ],
    })
    const { reasons, gaps, gapImages, wouldBlocks } = row('signed', 'beta')
    assert.deepEqual([gapImages, wouldBlocks], [4, 4])
    assert.deepEqual(reasons[0], { because: UNSIGNED.because, images: 2, pulls: 9 })
    assert.equal(reasons.length, 3)
    assert.deepEqual(
      gaps.map(({ image, kind, pulls }) => `${image.split('@')[0]} ${kind} ${pulls}`),
      ['ghcr.io/acme/b block 8', 'ghcr.io/acme/c block 3', 'ghcr.io/acme/d hold 2', 'ghcr.io/acme/a block 1'],
    )
  })

  it('forgives an image that is signed and pulled again', async () => {
    const { row } = await rowsAfter({
      batches: [
        [sightingOf('a', 'signed', { at: day(1), pulls: 5, result: UNSIGNED })],
        [sightingOf('a', 'signed', { at: day(2) })],
      ],
    })
    const { gapImages, pulls } = row('signed', 'beta')
    assert.deepEqual([gapImages, pulls], [0, 6])
  })

  it('lists what nobody has pulled for minDays days, but does not count it', async () => {
    const { row } = await rowsAfter({
      batches: [
        [
          sightingOf('old', 'signed', { at: day(2.9), result: UNSIGNED }),
          sightingOf('new', 'signed', { at: day(3.1), result: UNSIGNED }),
        ],
      ],
    })
    const { gapImages, wouldBlocks, gaps } = row('signed', 'beta')
    assert.deepEqual([gapImages, wouldBlocks], [2, 1])
    assert.deepEqual(
      gaps.map(({ counts }) => counts),
      [false, true],
    )
  })

  it('counts the whole stage where the criteria name no days', async () => {
    const set = setOf(policyOf('signed', { rollout: { ...CRITERIA, minDays: 0 } }))
    const batches = [[sightingOf('old', 'signed', { at: day(0.1), result: UNSIGNED })]]
    assert.equal((await rowsAfter({ set, batches })).row('signed', 'beta').wouldBlocks, 1)
  })

  it('names the ring that is next: the first that the policy is not enforced in', async () => {
    const nextIn = async (byRing: Record<string, 'enforce'>, fallback: 'observe' | 'enforce' = 'observe') => {
      const { report } = await rowsAfter({ set: setOf(policyOf('signed', { byRing, fallback })) })
      return report.rows.filter(({ policy, isNext }) => policy === 'signed' && isNext).map(({ ring }) => ring)
    }
    assert.deepEqual(await nextIn({}), ['beta'])
    assert.deepEqual(await nextIn({ beta: 'enforce' }), ['prod'])
    assert.deepEqual(await nextIn({ beta: 'enforce', prod: 'enforce' }), ['default'])
    assert.deepEqual(await nextIn({ prod: 'enforce' }), ['beta'])
    assert.deepEqual(await nextIn({}, 'enforce'), [])
  })

  it('has no figures for a policy that is off everywhere: nobody looks for what it asks for', async () => {
    const set = setOf(policyOf('signed', { fallback: 'off' }))
    const batches = [[sightingOf('a', 'signed', { at: day(1), result: { mode: 'off', ...UNSIGNED } })]]
    const { isJudged, images } = (await rowsAfter({ set, batches })).row('signed', 'beta')
    assert.deepEqual([isJudged, images], [false, 0])
  })

  it('has the figures of a ring where the policy is off and others are not', async () => {
    const set = setOf(policyOf('signed', { byRing: { beta: 'off' } }))
    const batches = [[sightingOf('a', 'signed', { at: day(1), result: { ...UNSIGNED, mode: 'off' } })]]
    assert.equal((await rowsAfter({ set, batches })).row('signed', 'beta').gapImages, 1)
  })

  it('takes a stage that nobody has noted for one that begins now', async () => {
    const set = setOf(policyOf('signed'))
    const input = { set, rings: RINGS, stages: [], now: day(10) }
    const report = await rolloutReport(
      input,
      () => [],
      () => Promise.resolve(),
    )
    assert.deepEqual(report.rows[0]?.since, day(10))
  })

  it('gives others their turn, and is bounded however much there is', async () => {
    const images = Array.from({ length: 1_000 }, (_, index) =>
      sightingOf(`image-${index}`, 'signed', {
        at: day(9),
        pulls: index + 1,
        result: { verdict: 'violated', because: `unlike any other: ${index}` },
      }),
    )
    const { row, paused } = await rowsAfter({ batches: [images] })
    const { gaps, gapImages, reasons } = row('signed', 'beta')
    assert.deepEqual([gapImages, gaps.length, gaps[0]?.pulls, reasons.length], [1_000, 100, 1_000, 20])
    assert.deepEqual(reasons[0]?.because, 'other reasons')
    assert.ok(paused.times >= 7)
  })
})

describe('criteria', () => {
  const [a, b] = ['a', 'b'].map((name) => sightingOf(name, 'signed', { at: day(9), pulls: 2 }))
  const c = sightingOf('c', 'signed', { at: day(9), result: UNSIGNED })
  assert.ok(a !== undefined && b !== undefined)
  const cases = [
    { name: 'hold all', days: 7, pulled: [a, b], unmet: [] },
    { name: 'days', days: 6.99, pulled: [a, b], unmet: ['days 6.9/7'] },
    {
      name: 'pulls',
      days: 7,
      pulled: [
        { ...a, pulls: 1 },
        { ...b, pulls: 1 },
      ],
      unmet: ['pulls 2/3'],
    },
    { name: 'images', days: 7, pulled: [{ ...a, pulls: 9 }], unmet: ['images 1/2'] },
    { name: 'would-blocks', days: 7, pulled: [a, b, c], unmet: ['would-blocks 1/0'] },
    { name: 'all', days: 0, pulled: [c], unmet: ['days 0/7', 'pulls 1/3', 'images 1/2', 'would-blocks 1/0'] },
  ]
  for (const { name, days, pulled, unmet } of cases) {
    it(unmet.length === 0 ? name : `do not hold: ${name}`, async () => {
      const { row } = await rowsAfter({ days, batches: [pulled] })
      const failed = (row('signed', 'beta').criteria ?? []).filter(({ holds }) => !holds)
      assert.deepEqual(
        failed.map((one) => `${one.name} ${one.have}/${one.need}`),
        unmet,
      )
    })
  }

  it('are those of the document, and none where it declares none', async () => {
    const { row } = await rowsAfter({ set: setOf(policyOf('signed', { rollout: undefined })) })
    assert.equal(row('signed', 'beta').criteria, undefined)
  })
})
