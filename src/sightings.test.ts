import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseTag } from './oci/reference.ts'
import type { Ring } from './policy/ring.ts'
import type { Judgement, PolicyResult, RingModes, Verdict } from './policy/types.ts'
import { Sightings, type JudgedPull } from './sightings.ts'
import { StoreError } from './store/error.ts'
import { digest, openState, repository } from './store/testing/state.ts'
import type { Sighting } from './store/types.ts'

const BETA: Ring = { name: 'beta', stanceLimit: undefined }
const REST: Ring = { name: 'default', stanceLimit: undefined }
const UNSIGNED: Verdict = {
  kind: 'violated',
  reasons: [
    { code: 'unsigned', authority: 'release', found: 'no signature at all', expected: 'one by release' },
  ],
}
const SATISFIED: Verdict = { kind: 'satisfied', by: [] }

function judgementOf(verdict: Verdict = SATISFIED): Judgement {
  const modes: RingModes = { fallback: 'observe', byRing: new Map([['beta', 'enforce']]) }
  const rest = { version: 'v1', mode: 'enforce', modes, stance: 'closed', runbook: undefined } as const
  const result: PolicyResult = { policy: 'signed', ...rest, verdict }
  return { results: [result] }
}

function pullOf(name: string, judgement = judgementOf(), over: Partial<JudgedPull> = {}): JudgedPull {
  const judged = {
    digest: digest(name),
    judgement,
    coveredBy: undefined,
    isEvidence: false,
    signing: { isSigned: true, hasProvenance: false },
  }
  const tag = parseTag('v1')
  assert.ok(tag !== undefined)
  return {
    repository: repository(`acme/${name}`),
    reference: { kind: 'tag', tag },
    ring: REST,
    isRead: true,
    outcome: 'serve',
    judged,
    ...over,
  }
}

function setUp() {
  const opened = openState()
  const told = { writes: 0, pauses: 0, errors: 0, lost: 0 }
  const disk = { isFull: false }
  const state = {
    noteSightings(batch: readonly Sighting[]) {
      if (disk.isFull) throw new StoreError('full', 'no space left')
      if (batch.length > 0) told.writes += 1
      opened.state.noteSightings(batch)
    },
  }
  const sightings = new Sightings({
    state,
    nowMs: () => opened.clock.ms,
    async pause() {
      told.pauses += 1
      await Promise.resolve()
    },
    onError: () => void (told.errors += 1),
    onLost: (pulls) => void (told.lost += pulls),
  })
  const stored = () => [...opened.state.sightings(new Date(0))]
  return { clock: opened.clock, disk, sightings, told, stored }
}

describe('sightings', () => {
  it('are counted in memory, and written when somebody asks for it, once', async () => {
    const { sightings, told, stored, clock } = setUp()
    const pull = pullOf('app')
    for (let index = 0; index < 1_000; index += 1) sightings.note(pull)
    clock.ms += 5
    sightings.note(pull)
    assert.equal(told.writes, 0)
    await sightings.write()
    assert.equal(told.writes, 1)
    const [found] = stored()
    assert.deepEqual([found?.pulls, found?.lastAt.getTime(), found?.tags], [1_001, clock.ms, ['v1']])
    await sightings.write()
    assert.equal(told.writes, 1)
  })

  it('are of one image in one ring, with the modes of that ring', () => {
    const { sightings, stored } = setUp()
    const judgement = judgementOf(UNSIGNED)
    sightings.note(pullOf('app', judgement))
    sightings.note(pullOf('app', judgement, { ring: BETA, outcome: 'refuse' }))
    sightings.flush()
    const because = 'unsigned: no signature at all, expected one by release'
    assert.deepEqual(
      stored().map(({ ring, outcome, results: [result] }) => [ring, outcome, result?.mode, result?.because]),
      [
        ['default', 'serve', 'observe', because],
        ['beta', 'refuse', 'enforce', because],
      ],
    )
  })

  it('keep what was judged last', () => {
    const { sightings, stored } = setUp()
    sightings.note(pullOf('app', judgementOf(UNSIGNED)))
    sightings.note(pullOf('app'))
    sightings.flush()
    assert.deepEqual(
      stored().map(({ pulls, results: [result] }) => [pulls, result?.verdict, result?.because]),
      [[2, 'satisfied', '']],
    )
  })

  it('name what could not be had', () => {
    const { sightings, stored } = setUp()
    const causes = [{ dependency: 'kms', message: 'never had' }] as const
    sightings.note(pullOf('app', judgementOf({ kind: 'undetermined', causes }), { outcome: 'hold' }))
    sightings.flush()
    const [result] = stored()[0]?.results ?? []
    assert.deepEqual([result?.verdict, result?.because], ['undetermined', 'kms: never had'])
  })

  it('are pulls: a HEAD is one only where it is refused, since nobody asks on then', () => {
    const { sightings, stored } = setUp()
    sightings.note(pullOf('asked', judgementOf(), { isRead: false }))
    sightings.note(pullOf('refused', judgementOf(UNSIGNED), { isRead: false, outcome: 'refuse' }))
    const pulled = judgementOf()
    const { digest: subject } = pullOf('pulled').judged ?? assert.fail()
    sightings.note(pullOf('pulled', pulled, { isRead: false }))
    sightings.note(pullOf('pulled', pulled, { reference: { kind: 'digest', digest: subject } }))
    sightings.flush()
    assert.deepEqual(
      stored().map(({ repository: { name }, pulls, tags }) => [name, pulls, tags]),
      [
        ['acme/refused', 1, ['v1']],
        ['acme/pulled', 1, ['v1']],
      ],
    )
  })

  const others: { name: string; judged: JudgedPull['judged'] }[] = [
    { name: 'nothing was seen of it', judged: undefined },
    { name: 'its index is the image', judged: { ...seen(), coveredBy: digest('index') } },
    { name: 'it is evidence', judged: { ...seen(), isEvidence: true } },
  ]
  for (const { name, judged } of others) {
    it(`are none where ${name}`, () => {
      const { sightings, stored } = setUp()
      sightings.note(pullOf('app', judgementOf(), { judged }))
      sightings.flush()
      assert.deepEqual(stored(), [])
    })
  }

  it('are of an image that an index lists, too, where it would not be served: it may be pulled without its index', async () => {
    const { sightings, stored } = setUp()
    const pull = pullOf('child', judgementOf(UNSIGNED))
    const judged = { ...(pull.judged ?? assert.fail()), coveredBy: digest('index') }
    sightings.note({ ...pull, judged })
    await sightings.write()
    assert.deepEqual(
      stored().map((sighting) => [sighting.digest, sighting.pulls]),
      [[digest('child'), 1]],
    )
  })

  it('are written a little at a time, and those that come meanwhile are not lost', async () => {
    const { sightings, told, stored } = setUp()
    for (let index = 0; index < 200; index += 1) sightings.note(pullOf(`image-${index}`))
    const writing = sightings.write()
    sightings.note(pullOf('late'))
    await Promise.all([writing, sightings.write()])
    assert.equal(stored().length, 201)
    assert.deepEqual([told.writes, told.pauses], [4, 3])
  })

  it('are written at the end, also those of a write that is not through', async () => {
    const { sightings, stored } = setUp()
    for (let index = 0; index < 200; index += 1) sightings.note(pullOf(`image-${index}`))
    const writing = sightings.write()
    sightings.flush()
    assert.equal(stored().length, 200)
    await writing
  })

  it('that the disk refuses are lost and told of, and stop nobody', async () => {
    const { sightings, told, disk, stored } = setUp()
    disk.isFull = true
    for (let index = 0; index < 100; index += 1) sightings.note(pullOf(`image-${index}`))
    await sightings.write()
    assert.deepEqual([told.errors, told.lost, stored().length], [1, 100, 0])
    disk.isFull = false
    sightings.note(pullOf('app'))
    await sightings.write()
    assert.deepEqual([told.lost, stored().length], [100, 1])
  })

  it('are bounded: of more different images than fit the pulls are told of as lost', () => {
    const { sightings, told, stored } = setUp()
    for (let index = 0; index < 10_003; index += 1) sightings.note(pullOf(`image-${index}`))
    sightings.flush()
    assert.deepEqual([stored().length, told.lost], [10_000, 3])
  })

  it('are counted however much is only asked about, which costs nothing', () => {
    const { sightings, told, stored } = setUp()
    const asked = pullOf('image-0', undefined, { isRead: false })
    sightings.note(asked)
    for (let index = 1; index < 20_000; index += 1)
      sightings.note(pullOf(`image-${index}`, undefined, { isRead: false }))
    sightings.note({ ...asked, isRead: true })
    sightings.note(pullOf('app'))
    sightings.flush()
    assert.deepEqual([stored().length, told.lost], [2, 0])
  })
})

function seen(): NonNullable<JudgedPull['judged']> {
  return pullOf('app').judged ?? assert.fail()
}
