import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseTag } from '../oci/reference.ts'
import { digest, openState, refuseWrites, repository, rowCount } from './testing/state.ts'
import type { StateStore } from './types.ts'

const image = repository('a/b')
const HOUR_MS = 3_600_000
const source = { found: 'referrer', manifest: digest('manifest'), blob: digest('blob') } as const
const found = {
  candidates: [{ form: 'bundle', source, bytes: Buffer.alloc(500) }],
  rejected: [],
  failures: [],
} as const

/** All that a pull leaves behind. */
function pull(state: StateStore, name: string, at: Date): void {
  const subject = digest(name)
  state.addManifest(image, subject, 'type')
  state.setEvidence(image, subject, found, at)
  state.noteSatisfied({ repository: image, digest: subject, policy: 'p', policyVersion: 'v', at })
  state.addClosure(image, subject, {
    children: [digest(`${name} child`)],
    blobs: [digest(`${name} layer`), digest(`${name} config`)],
    isEvidence: false,
  })
}

/** What of it is still there. */
function known(state: StateStore, name: string): boolean[] {
  const subject = digest(name)
  return [
    state.manifestType(image, subject) !== undefined,
    state.getEvidence(image, subject) !== undefined,
    state.lastSatisfied({ repository: image, digest: subject, policy: 'p', policyVersion: 'v' }) !==
      undefined,
    state.parentsOfBlob(image, digest(`${name} layer`)).length === 1,
    state.parentsOfManifest(image, digest(`${name} child`)).length === 1,
  ]
}

const ALL = [true, true, true, true, true]
const NONE = [false, false, false, false, false]

/** Room for five such images of each kind. */
const FIVE = {
  manifestRowsMax: 5,
  evidenceBytesMax: 5 * 1_400,
  satisfiedRowsMax: 5,
  closureRowsMax: 5 * 4,
}

describe('what is kept of images', () => {
  it('is bounded: those that nobody pulls go first, and as a whole', () => {
    const { state, clock } = openState(FIVE)
    for (let index = 0; index < 20; index += 1) {
      clock.ms += 1
      pull(state, `image ${index}`, new Date(clock.ms))
    }
    for (let index = 0; index < 20; index += 1)
      assert.deepEqual(known(state, `image ${index}`), index < 15 ? NONE : ALL, `image ${index}`)
  })

  it('stays while the image is pulled, though nobody reads it from disk any more', () => {
    const { state, clock } = openState(FIVE)
    pull(state, 'in use', new Date(clock.ms))
    for (let index = 0; index < 50; index += 1) {
      clock.ms += HOUR_MS
      state.noteUse(image, digest('in use'))
      pull(state, `image ${index}`, new Date(clock.ms))
    }
    assert.deepEqual(known(state, 'in use'), ALL)
    assert.deepEqual(known(state, 'image 40'), NONE)
  })

  it('stays for the index above a child that is pulled by its digest, and the one above that', () => {
    const { state, clock } = openState(FIVE)
    for (const [parent, child] of [
      ['outer', 'inner'],
      ['inner', 'in use'],
    ] as const) {
      pull(state, parent, new Date(clock.ms))
      state.addClosure(image, digest(parent), {
        children: [digest(child)],
        blobs: [digest(`${parent} layer`)],
        isEvidence: false,
      })
    }
    for (let index = 0; index < 20; index += 1) {
      clock.ms += HOUR_MS
      state.noteUse(image, digest('in use'))
      pull(state, `image ${index}`, new Date(clock.ms))
    }
    assert.deepEqual(state.parentsOfManifest(image, digest('in use')), [digest('inner')])
    assert.deepEqual(state.parentsOfManifest(image, digest('inner')), [digest('outer')])
    assert.ok(state.getEvidence(image, digest('outer')) !== undefined)
  })

  it('is noted without a write but once an hour, some at a time, and on closing', () => {
    const { state, database, clock } = openState()
    for (let index = 0; index < 20; index += 1) pull(state, `image ${index}`, new Date(clock.ms))
    const notedAt = (): number =>
      Number(database.prepare('SELECT count(*) AS n FROM manifest WHERE used_at = ?').get(clock.ms)?.['n'])
    clock.ms += 2 * HOUR_MS
    for (let index = 0; index < 15; index += 1) state.noteUse(image, digest(`image ${index}`))
    assert.equal(notedAt(), 0)
    for (let index = 0; index < 16; index += 1) state.noteUse(image, digest(`image ${index}`))
    assert.equal(notedAt(), 16)
    const firstMs = clock.ms
    clock.ms += HOUR_MS - 1
    for (let index = 0; index < 16; index += 1) state.noteUse(image, digest(`image ${index}`))
    clock.ms = firstMs
    assert.equal(notedAt(), 16, 'not again within the hour')
    state.noteUse(image, digest('image 19'))
    const path = ':memory:'
    assert.equal(database.location() ?? path, path)
    let noted = 0
    database.function('seen', () => (noted += 1))
    database.exec('CREATE TEMP TRIGGER watch AFTER UPDATE ON manifest BEGIN SELECT seen(); END')
    state.close()
    assert.equal(noted, 1)
  })

  it('may not be noted on a full disk: told once, and nobody is stopped', () => {
    const { state, database, errors } = openState()
    pull(state, 'image', new Date(1))
    const allow = refuseWrites(database)
    for (let index = 0; index < 16; index += 1) state.noteUse(image, digest(`image ${index}`))
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['unavailable'],
    )
    allow()
  })
})

describe('what is kept beside that', () => {
  it('tags: those confirmed longest ago go first', () => {
    const { state, database } = openState({ tagRowsMax: 3 })
    const tags = ['a', 'b', 'c', 'd'].map((text) => parseTag(text) ?? assert.fail())
    for (const [index, tag] of tags.slice(0, 3).entries())
      state.setTag(image, tag, digest('x'), new Date(index))
    for (const tag of [tags[0], tags[3]]) state.setTag(image, tag ?? assert.fail(), digest('x'), new Date(9))
    assert.deepEqual(
      tags.map((tag) => state.getTag(image, tag) !== undefined),
      [true, false, true, true],
    )
    assert.equal(rowCount(database, 'tag'), 3)
  })

  it('members: with the last row of a repository its name is gone too', () => {
    const { state, database, clock } = openState({ memberRowsMax: 3 })
    for (let index = 0; index < 10; index += 1) {
      clock.ms += 1
      state.addBlob(repository(`a/${index}`), digest('blob'))
    }
    assert.equal(rowCount(database, 'member'), 3)
    assert.equal(rowCount(database, 'repository'), 3)
    assert.equal(state.hasBlob(repository('a/9'), digest('blob')), true)
    assert.equal(state.hasBlob(repository('a/0'), digest('blob')), false)
  })

  it('repositories of closures likewise', () => {
    const { state, database, clock } = openState({ closureRowsMax: 4 })
    for (let index = 0; index < 10; index += 1) {
      clock.ms += 1
      const closure = { children: [], blobs: [digest('blob')], isEvidence: false }
      state.addClosure(repository(`a/${index}`), digest('image'), closure)
    }
    assert.equal(rowCount(database, 'closure'), 2)
    assert.equal(rowCount(database, 'parent'), 2)
    assert.equal(rowCount(database, 'repository'), 2)
  })

  it('records: all of them', () => {
    const { state, clock } = openState({ ...FIVE, tagRowsMax: 1, logEntryBytesMax: 1 })
    for (let index = 0; index < 100; index += 1) {
      clock.ms += 1
      const at = new Date(clock.ms)
      pull(state, `image ${index}`, at)
      state.recordDecision({ key: String(index), id: 'i', at, json: '{}' })
      const admission = { repository: image, digest: digest('image'), policies: [], client: 'c', at }
      state.admitOpen({ ...admission, decision: String(index) })
    }
    assert.equal(state.decisions(1_000).length, 100)
    assert.equal(state.openAdmissions().length, 100)
  })
})

describe('damaged facts', () => {
  it('a tag whose digest is none is dropped, and asked for again', () => {
    const { state, database, errors } = openState()
    const tag = parseTag('v1') ?? assert.fail()
    state.setTag(image, tag, digest('x'), new Date(1))
    database.exec("UPDATE tag SET digest = 'sha256:x'")
    assert.equal(state.getTag(image, tag), undefined)
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['damaged'],
    )
    assert.equal(rowCount(database, 'tag'), 0)
    state.setTag(image, tag, digest('y'), new Date(2))
    assert.equal(state.getTag(image, tag)?.digest, digest('y'))
  })

  it('a closure whose manifest has no digest is dropped, and known again with the next pull', () => {
    const { state, database, errors } = openState()
    pull(state, 'image', new Date(1))
    database.exec("UPDATE parent SET digest = 'x'")
    assert.deepEqual(state.parentsOfBlob(image, digest('image layer')), [])
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['damaged'],
    )
    assert.equal(rowCount(database, 'closure'), 0)
    pull(state, 'image', new Date(2))
    assert.deepEqual(known(state, 'image'), ALL)
  })
})
