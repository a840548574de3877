import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digest, openState, refuseWrites, repository, rowCount } from './testing/state.ts'
import type { Sighting, StateStore } from './types.ts'

const DAY_MS = 86_400_000
const EPOCH = new Date(0)

function sighting(name: string, over: Partial<Sighting> = {}): Sighting {
  return {
    repository: repository(`apps/${name}`),
    digest: digest(name),
    ring: 'canary',
    tags: ['v1'],
    pulls: 1,
    at: new Date(DAY_MS),
    outcome: 'serve',
    isSigned: true,
    hasProvenance: false,
    results: [
      { policy: 'signed', version: 'sha256:1', mode: 'observe', verdict: 'violated', because: 'unsigned' },
    ],
    ...over,
  }
}

const all = (state: StateStore, since = EPOCH) => [...state.sightings(since)]

describe('sightings', () => {
  it('are what was written, once for each image and ring', () => {
    const { state } = openState()
    state.noteSightings([sighting('a'), sighting('a', { ring: 'default', isSigned: false }), sighting('b')])
    const found = all(state)
    assert.deepEqual(
      found.map(({ repository: { name }, ring }) => `${name} ${ring}`),
      ['apps/a canary', 'apps/a default', 'apps/b canary'],
    )
    const [first] = found
    const { at, results, ...same } = sighting('a')
    const counted = results.map((result) => ({ ...result, pulls: 1, from: at }))
    assert.deepEqual(first, { ...same, firstAt: at, lastAt: at, results: counted })
  })

  it('count pulls up and keep the newest judgement, and the first and the last pull', () => {
    const { state } = openState()
    state.noteSightings([sighting('a', { pulls: 2 })])
    state.noteSightings([
      sighting('a', {
        pulls: 3,
        at: new Date(2 * DAY_MS),
        outcome: 'refuse',
        isSigned: false,
        hasProvenance: true,
      }),
    ])
    const [found] = all(state)
    assert.equal(found?.pulls, 5)
    assert.deepEqual([found.firstAt.getTime(), found.lastAt.getTime()], [DAY_MS, 2 * DAY_MS])
    assert.deepEqual([found.outcome, found.isSigned, found.hasProvenance], ['refuse', false, true])
    assert.deepEqual(
      found.results.map(({ pulls, from }) => [pulls, from.getTime()]),
      [[5, DAY_MS]],
    )
  })

  it('count the pulls of a policy anew when its version or its mode in the ring changes', () => {
    const changes = [
      { name: 'version', change: { version: 'sha256:2' } },
      { name: 'mode', change: { mode: 'enforce' } },
    ] as const
    for (const { name, change } of changes) {
      const { state } = openState()
      state.noteSightings([sighting('a', { pulls: 7 })])
      const results = sighting('a').results.map((result) => ({ ...result, ...change }))
      state.noteSightings([sighting('a', { pulls: 2, at: new Date(3 * DAY_MS), results })])
      const [found] = all(state)
      assert.equal(found?.pulls, 9, name)
      assert.deepEqual(
        found.results.map(({ pulls, from }) => [pulls, from.getTime()]),
        [[2, 3 * DAY_MS]],
        name,
      )
    }
  })

  it('keep at most 8 tags, the newest first', () => {
    const { state } = openState()
    for (let index = 0; index < 12; index += 1)
      state.noteSightings([sighting('a', { tags: [`v${index}`, 'latest'] })])
    assert.deepEqual(all(state)[0]?.tags, ['v11', 'latest', 'v10', 'v9', 'v8', 'v7', 'v6', 'v5'])
  })

  it('are newest by their own clock, and one that was set back makes nothing newer', () => {
    const { state } = openState()
    state.noteSightings([sighting('a', { at: new Date(5 * DAY_MS) })])
    state.noteSightings([sighting('a')])
    assert.equal(all(state)[0]?.lastAt.getTime(), 5 * DAY_MS)
  })

  it('are read from a time on, page by page, while others are written', () => {
    const { state } = openState()
    const images = Array.from({ length: 1_200 }, (_, index) => `image-${index}`)
    state.noteSightings(
      images.map((name, index) => sighting(name, { at: new Date(index < 100 ? DAY_MS : 2 * DAY_MS) })),
    )
    const seen: string[] = []
    for (const { repository: image } of state.sightings(new Date(2 * DAY_MS))) {
      seen.push(image.name)
      if (seen.length === 600) state.noteSightings([sighting('image-3', { at: new Date(DAY_MS + 1) })])
    }
    assert.equal(seen.length, 1_100)
    assert.equal(new Set(seen).size, 1_100)
  })

  it('are bounded: what was pulled longest ago goes first', () => {
    const { state, database } = openState({ sightingRowsMax: 10 })
    for (let index = 0; index < 30; index += 1)
      state.noteSightings([sighting(`image-${index}`, { at: new Date(DAY_MS + index) })])
    // In use again, though it came first of those that are left.
    state.noteSightings([sighting('image-20', { at: new Date(2 * DAY_MS) })])
    state.noteSightings([sighting('new', { at: new Date(2 * DAY_MS) })])
    assert.equal(rowCount(database, 'sighting'), 10)
    const names = all(state).map(({ repository: { name } }) => name)
    assert.ok(names.includes('apps/image-20') && names.includes('apps/new'))
    assert.ok(!names.includes('apps/image-21'))
  })

  for (const column of [
    `pulls = 1000000`,
    `results = '[]'`,
    `digest = 'sha256:00'`,
    `outcome = 'refuse'`,
    `is_signed = 0`,
  ]) {
    it(`with a damaged row (${column}) are the others, and it is told`, () => {
      const { state, database, errors } = openState()
      state.noteSightings([sighting('a'), sighting('b')])
      database.exec(`UPDATE sighting SET ${column} WHERE name = 'apps/a'`)
      assert.deepEqual(
        all(state).map(({ repository: { name } }) => name),
        ['apps/b'],
      )
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(rowCount(database, 'sighting'), 1)
    })
  }

  it('begin anew where the row that they would add to is damaged', () => {
    const { state, database, errors } = openState()
    state.noteSightings([sighting('a', { pulls: 40 })])
    database.exec(`UPDATE sighting SET pulls = 41`)
    state.noteSightings([sighting('a', { pulls: 2 })])
    assert.deepEqual(
      all(state).map(({ pulls }) => pulls),
      [2],
    )
    assert.equal(errors.length, 1)
  })

  it('that the disk refuses throw, all of them, and nothing is half written', () => {
    const { state, database } = openState()
    const accept = refuseWrites(database)
    assert.throws(() => state.noteSightings([sighting('a'), sighting('b')]), { name: 'StoreError' })
    accept()
    assert.deepEqual(all(state), [])
    state.noteSightings([sighting('a')])
    assert.equal(all(state).length, 1)
  })
})
