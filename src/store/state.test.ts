import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Discovery } from '../discover/types.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { parseRepository, parseTag, type Repository } from '../oci/reference.ts'
import type { EvidenceSource } from '../verify/types.ts'
import { openDatabase, type Database } from './database.ts'
import type { StoreError } from './error.ts'
import { createStateStore } from './state.ts'

const digest = (name: string): Digest => digestOf(Buffer.from(name))
const repository: Repository = parseRepository('ghcr.io', 'a/b')!
const other: Repository = parseRepository('ghcr.io', 'a/c')!
const tag = parseTag('v1')!

function openState(setup: { database?: Database; evidenceBytesMax?: number } = {}) {
  const database = setup.database ?? openDatabase(':memory:')
  const errors: StoreError[] = []
  const clock = { ms: 1_000_000 }
  const state = createStateStore(database, {
    now: () => new Date(clock.ms),
    onError: (error) => errors.push(error),
    ...(setup.evidenceBytesMax === undefined ? {} : { evidenceBytesMax: setup.evidenceBytesMax }),
  })
  return { state, database, errors, clock }
}

describe('closures', () => {
  it('are known by repository, kind and digest', () => {
    const { state } = openState()
    const [root, child, blob] = [digest('root'), digest('child'), digest('blob')]
    state.addClosure(repository, root, { children: [child], blobs: [blob], isEvidence: false })
    assert.deepEqual(state.parentsOfManifest(repository, child), [root])
    assert.deepEqual(state.parentsOfBlob(repository, blob), [root])
    assert.deepEqual(state.parentsOfBlob(repository, child), [])
    assert.deepEqual(state.parentsOfManifest(repository, blob), [])
    assert.deepEqual(state.parentsOfBlob(other, blob), [], 'another repository')
  })

  it('name each parent once, newest first, and at most 64', () => {
    const { state } = openState()
    const blob = digest('base layer')
    const parents = Array.from({ length: 70 }, (_, index) => digest(`parent ${index}`))
    for (const parent of parents)
      state.addClosure(repository, parent, { children: [], blobs: [blob, blob], isEvidence: false })
    assert.deepEqual(state.parentsOfBlob(repository, blob), parents.toReversed().slice(0, 64))
    state.addClosure(repository, parents[0]!, { children: [], blobs: [blob], isEvidence: false })
    assert.equal(state.parentsOfBlob(repository, blob)[0], parents[0], 'let through again')
  })

  it('evidence is apart: it never pushes out the image that names a blob', () => {
    const { state } = openState()
    const [image, blob] = [digest('image'), digest('layer')]
    state.addClosure(repository, image, { children: [], blobs: [blob], isEvidence: false })
    for (let index = 0; index < 70; index += 1) {
      const parent = digest(`evidence ${index}`)
      state.addClosure(repository, parent, { children: [], blobs: [blob], isEvidence: true })
    }
    assert.deepEqual(state.parentsOfBlob(repository, blob), [image])
    assert.equal(state.evidenceParentsOfBlob(repository, blob).length, 64)
  })

  it('a blob belongs to the repositories that upstream served it from', () => {
    const { state } = openState()
    state.addBlob(repository, digest('layer'))
    state.addBlob(repository, digest('layer'))
    assert.equal(state.hasBlob(repository, digest('layer')), true)
    assert.equal(state.hasBlob(other, digest('layer')), false)
  })

  it('outlive the store', () => {
    const { state, database } = openState()
    state.addClosure(repository, digest('root'), { children: [], blobs: [digest('blob')], isEvidence: false })
    assert.deepEqual(openState({ database }).state.parentsOfBlob(repository, digest('blob')), [
      digest('root'),
    ])
  })
})

describe('manifests and tags', () => {
  it('membership is by repository, nature by digest', () => {
    const { state } = openState()
    const manifest = digest('manifest')
    state.addManifest(repository, manifest, 'application/vnd.oci.image.manifest.v1+json')
    assert.equal(state.manifestType(repository, manifest), 'application/vnd.oci.image.manifest.v1+json')
    assert.equal(state.manifestType(other, manifest), undefined)
    assert.equal(state.isManifest(manifest), true)
    assert.equal(state.isManifest(digest('blob')), false)
  })

  it('a tag is where it was last seen', () => {
    const { state } = openState()
    assert.equal(state.getTag(repository, tag), undefined)
    state.setTag(repository, tag, digest('one'), new Date(1))
    state.setTag(repository, tag, digest('two'), new Date(2))
    assert.deepEqual(state.getTag(repository, tag), { digest: digest('two'), checkedAt: new Date(2) })
    assert.equal(state.getTag(other, tag), undefined)
  })
})

const source: EvidenceSource = { found: 'referrer', manifest: digest('manifest'), blob: digest('blob') }

function discovery(size = 10): Discovery {
  return {
    candidates: [
      { form: 'bundle', source, bytes: Buffer.alloc(size, 1) },
      { form: 'simple-signing', source, bytes: Buffer.from('payload'), annotations: { signature: 'é' } },
      { form: 'dsse', source, bytes: Buffer.alloc(0), annotations: {} },
    ],
    rejected: [{ source, code: 'malformed', message: 'is no manifest' }],
    failures: [],
  }
}

describe('evidence', () => {
  it('comes back as it was, by repository and subject', () => {
    const { state } = openState()
    state.setEvidence(repository, digest('image'), discovery(), new Date(5))
    assert.deepEqual(state.getEvidence(repository, digest('image')), {
      discovery: discovery(),
      gatheredAt: new Date(5),
    })
    assert.equal(state.getEvidence(other, digest('image')), undefined)
    assert.equal(state.getEvidence(repository, digest('another')), undefined)
  })

  it('that there is none is remembered; that it could not be had is not', () => {
    const { state } = openState()
    const nothing: Discovery = { candidates: [], rejected: [], failures: [] }
    state.setEvidence(repository, digest('unsigned'), nothing, new Date(5))
    assert.deepEqual(state.getEvidence(repository, digest('unsigned'))?.discovery, nothing)
    const failed: Discovery = {
      ...nothing,
      failures: [{ what: 'referrers', because: 'unanswered', message: '503' }],
    }
    state.setEvidence(repository, digest('unreachable'), failed, new Date(5))
    assert.equal(state.getEvidence(repository, digest('unreachable')), undefined)
  })

  const damages: { name: string; sql: string }[] = [
    { name: 'a flipped byte', sql: 'UPDATE evidence SET bytes = zeroblob(length(bytes))' },
    { name: 'missing bytes', sql: "UPDATE evidence SET bytes = x''" },
    { name: 'another source', sql: "UPDATE evidence SET header = replace(header, 'referrer', 'file')" },
    { name: 'a header that is no JSON', sql: "UPDATE evidence SET header = '{'" },
    { name: 'a wrong checksum', sql: "UPDATE evidence SET checksum = 'sha256:00'" },
  ]
  for (const { name, sql } of damages) {
    it(`with ${name} is dropped and gathered again`, () => {
      const { state, database, errors } = openState()
      state.setEvidence(repository, digest('image'), discovery(), new Date(5))
      database.exec(sql)
      assert.equal(state.getEvidence(repository, digest('image')), undefined)
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(database.prepare('SELECT count(*) AS n FROM evidence').get()?.['n'], 0)
    })
  }

  it('of another version of the codec is dropped although its checksum is right', () => {
    const { state, database } = openState()
    state.setEvidence(
      repository,
      digest('image'),
      { candidates: [], rejected: [], failures: [] },
      new Date(5),
    )
    const header = '{"version":2,"candidates":[],"rejected":[]}'
    database.prepare('UPDATE evidence SET header = ?, checksum = ?').run(header, digest(`${header}\n`))
    assert.equal(state.getEvidence(repository, digest('image')), undefined)
  })

  it('goes by last use when the budget is passed; decisions never go', () => {
    const { state, clock, database } = openState({ evidenceBytesMax: 10_000 })
    state.recordDecision({ key: 'k', id: 'i', at: new Date(1), json: 'x'.repeat(20_000) })
    for (const name of ['a', 'b']) {
      state.setEvidence(repository, digest(name), discovery(3_000), new Date(clock.ms))
      clock.ms += 2 * 3_600_000
    }
    assert.ok(state.getEvidence(repository, digest('a')) !== undefined, 'used after b')
    clock.ms += 1
    state.setEvidence(repository, digest('c'), discovery(3_000), new Date(clock.ms))
    const kept = ['a', 'b', 'c'].filter((name) => state.getEvidence(repository, digest(name)) !== undefined)
    assert.deepEqual(kept, ['a', 'c'])
    assert.ok(Number(database.prepare('SELECT sum(size) AS n FROM evidence').get()?.['n']) <= 10_000)
    assert.equal(state.decisions(10).length, 1)
  })

  it('of one image is kept up to 2 MiB: the first candidates that fit, annotations included', () => {
    const { state } = openState()
    const candidate = (name: string, size: number, annotation = '') =>
      ({
        form: 'dsse',
        source: { ...source, blob: digest(name) },
        bytes: Buffer.alloc(size, 1),
        annotations: { a: annotation },
      }) as const
    const half = 512 * 1024
    const candidates = [
      candidate('first', 2 * half),
      candidate('too large', 3 * half),
      candidate('too large by its annotations', half, 'x'.repeat(2 * half)),
      candidate('second', half, 'x'.repeat(half)),
      candidate('one byte too many', 1),
    ]
    state.setEvidence(repository, digest('image'), { candidates, rejected: [], failures: [] }, new Date(5))
    const kept = state.getEvidence(repository, digest('image'))?.discovery.candidates
    // Digests first: a difference in megabytes is no message that anyone can read.
    assert.deepEqual(
      kept?.map(({ source: { blob } }) => blob),
      [digest('first'), digest('second')],
    )
    assert.equal(kept?.[1]?.bytes.equals(candidates[3]?.bytes ?? Buffer.alloc(0)), true)
  })

  it('larger than the budget is not kept, nor is what it replaces', () => {
    const { state } = openState({ evidenceBytesMax: 5_000 })
    state.setEvidence(repository, digest('image'), discovery(10), new Date(5))
    state.setEvidence(repository, digest('image'), discovery(9_000), new Date(6))
    assert.equal(state.getEvidence(repository, digest('image')), undefined)
  })
})

describe('decisions', () => {
  it('tell whether an image was refused, in its own repository only', () => {
    const { state, database } = openState()
    const at = new Date(1)
    const refused = { repository, digest: digest('bad') }
    state.recordDecision({ key: 'a', id: 'a', at, json: '{}', refused })
    state.recordDecision({ key: 'b', id: 'b', at, json: '{}' })
    assert.equal(state.wasRefused(repository, digest('bad')), true)
    assert.equal(state.wasRefused(repository, digest('good')), false)
    assert.equal(state.wasRefused(other, digest('bad')), false)
    database.close()
    assert.throws(() => state.wasRefused(repository, digest('bad')), { name: 'StoreError' })
  })

  it('are written once by key and counted after that', () => {
    const { state } = openState()
    const decision = { key: 'k', id: 'first', at: new Date(10), json: '{"a":1}' }
    assert.equal(state.recordDecision(decision), true)
    assert.equal(state.recordDecision({ ...decision, id: 'second', at: new Date(20) }), false)
    state.countDecision('k', 5, new Date(15))
    state.countDecision('unknown', 5, new Date(15))
    assert.deepEqual(state.decisions(10), [
      { id: 'first', firstAt: new Date(10), lastAt: new Date(20), count: 7, json: '{"a":1}' },
    ])
  })

  it('are listed newest first, as many as asked for', () => {
    const { state } = openState()
    for (const [index, key] of ['a', 'b', 'c'].entries()) {
      state.recordDecision({ key, id: key, at: new Date(index), json: '{}' })
    }
    state.countDecision('a', 1, new Date(10))
    const ids = (limit: number) => state.decisions(limit).map(({ id }) => id)
    assert.deepEqual(ids(10), ['a', 'c', 'b'])
    assert.deepEqual(ids(1), ['a'])
    assert.deepEqual(ids(-1), [])
  })

  it('that cannot be written are an error, never a silence', () => {
    const { state, database } = openState()
    database.exec('PRAGMA query_only = ON')
    assert.throws(() => state.recordDecision({ key: 'k', id: 'i', at: new Date(1), json: '{}' }), {
      name: 'StoreError',
      code: 'unavailable',
    })
    database.exec('PRAGMA query_only = OFF')
    assert.deepEqual(state.decisions(1), [])
  })
})

describe('a tag that is gone', () => {
  it('is forgotten, also where the disk had refused it', () => {
    const { state, database } = openState()
    state.setTag(repository, tag, digest('old'), new Date(1))
    state.dropTag(repository, tag)
    assert.equal(state.getTag(repository, tag), undefined)
    database.exec('PRAGMA query_only = ON')
    state.setTag(repository, tag, digest('new'), new Date(2))
    state.dropTag(repository, tag)
    assert.equal(state.getTag(repository, tag), undefined)
  })
})

describe('a disk that refuses writes', () => {
  it('is reported, and what it refused is known until the end', () => {
    const { state, database, errors } = openState()
    const [root, blob, image] = [digest('root'), digest('blob'), digest('image')]
    state.addClosure(repository, digest('older'), { children: [], blobs: [blob], isEvidence: false })
    state.setTag(repository, tag, digest('old'), new Date(1))
    database.exec('PRAGMA query_only = ON')
    state.addClosure(repository, root, { children: [], blobs: [blob], isEvidence: false })
    state.addManifest(repository, root, 'type')
    state.setTag(repository, tag, digest('new'), new Date(2))
    state.setEvidence(repository, image, discovery(), new Date(3))
    assert.equal(errors.length, 4)
    assert.deepEqual(state.parentsOfBlob(repository, blob), [root, digest('older')])
    assert.equal(state.manifestType(repository, root), 'type')
    assert.equal(state.isManifest(root), true)
    assert.equal(state.getTag(repository, tag)?.digest, digest('new'))
    assert.deepEqual(state.getEvidence(repository, image)?.discovery, discovery())
    database.exec('PRAGMA query_only = OFF')
    state.setTag(repository, tag, digest('newest'), new Date(3))
    assert.equal(state.getTag(repository, tag)?.digest, digest('newest'), 'the disk is back')
    state.close()
  })
})
