import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { Discovery } from '../discover/types.ts'
import type { Digest } from '../oci/digest.ts'
import { openDatabase } from './database.ts'
import { StoreError } from './error.ts'
import { seededRandom } from './testing/random.ts'
import { digest, openState, repository } from './testing/state.ts'
import type { Promotion, Sighting, StateStore, StoredSighting } from './types.ts'

/** What a broken disk does to the file itself: every start either says so, or has no record that is not the one written. */

const IMAGES = 40
const image = repository('a/b')
const source = { found: 'referrer', manifest: digest('manifest'), blob: digest('blob') } as const

function fill(state: StateStore): void {
  for (let index = 0; index < IMAGES; index += 1) {
    const [name, at] = [`image ${index}`, new Date(index)]
    const key = JSON.stringify({ name })
    const json = index % 2 === 0 ? key : JSON.stringify({ name, more: 'text' })
    state.recordDecision({ key, id: hash('sha256', key, 'hex').slice(0, 12), at, json })
    state.addClosure(image, digest(name), {
      children: [],
      blobs: [digest(`${name} blob`)],
      isEvidence: false,
    })
    state.addManifest(image, digest(name), 'type')
    const candidates = [{ form: 'bundle', source, bytes: Buffer.alloc(200, index) } as const]
    state.setEvidence(image, digest(name), { candidates, rejected: [], failures: [] }, at)
    state.noteSatisfied({ repository: image, digest: digest(name), policy: 'p', policyVersion: 'v', at })
    state.setLogEntry('log', String(index), { logIndex: String(index), json: key })
    state.setFindings(image, digest(name), { trusted: 'root', json: key })
    state.noteSightings([sightingOf(name, at)])
    state.recordPromotion(promotionOf(name, at))
    state.admitOpen({
      repository: image,
      digest: digest(name),
      policies: ['p'],
      decision: 'd',
      client: 'c',
      at,
    })
  }
}

function sightingOf(name: string, at: Date): Sighting {
  const result = { policy: 'p', version: 'v', mode: 'observe', verdict: 'satisfied', because: '' } as const
  const flags = { outcome: 'serve', isSigned: true, hasProvenance: true } as const
  return {
    repository: image,
    digest: digest(name),
    ring: 'r',
    tags: [],
    pulls: 1,
    at,
    ...flags,
    results: [result],
  }
}

function promotionOf(by: string, at: Date): Promotion {
  const stage = { policy: 'p', ring: 'r', from: 'observe', to: 'enforce', policyVersion: 'v' } as const
  return { ...stage, at, by, isMet: true, criteria: '[]', override: undefined }
}

type Fact = {
  parents: readonly Digest[]
  evidence: Discovery | undefined
  satisfied: Date | undefined
  entry: string | undefined
  findings: string | undefined
  sighting: StoredSighting | undefined
}

type Contents = { records: readonly string[]; facts: readonly Fact[] }

/** Records as they identify themselves, and facts by what was asked. */
function contentsOf(state: StateStore): Contents {
  const decisions = state.decisions(1_000).map(({ id, json }) => `${id} ${json}`)
  const admissions = state.admissions(1_000).map((admission) => JSON.stringify(admission))
  const promotions = state.promotions(1_000).map((promotion) => JSON.stringify(promotion))
  const sightings = new Map([...state.sightings(new Date(0))].map((one) => [one.digest, one]))
  const facts = Array.from({ length: IMAGES }, (_, index): Fact => {
    const name = `image ${index}`
    const satisfied = { repository: image, digest: digest(name), policy: 'p', policyVersion: 'v' }
    return {
      parents: state.parentsOfBlob(image, digest(`${name} blob`)),
      evidence: state.getEvidence(image, digest(name))?.discovery,
      satisfied: state.lastSatisfied(satisfied),
      entry: state.getLogEntry('log', String(index)),
      findings: state.getFindings(image, digest(name))?.json,
      sighting: sightings.get(digest(name)),
    }
  })
  return { records: [...decisions, ...admissions, ...promotions].toSorted(), facts }
}

type Start =
  | { readonly started: true; readonly contents: Contents }
  | { readonly started: false; readonly error: StoreError }

describe('damage to the file', () => {
  let directory: string
  let expected: Contents
  let whole: Buffer
  let log: Buffer
  let beforeLog: Buffer

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'damage-'))
    const path = join(directory, 'whole.db')
    const database = openDatabase(path)
    // As after a crash: everything since the last checkpoint is in the log.
    database.exec('PRAGMA wal_autocheckpoint = 0')
    const { state } = openState({ database })
    fill(state)
    copyFileSync(path, join(directory, 'crashed.db'))
    copyFileSync(`${path}-wal`, join(directory, 'crashed.db-wal'))
    expected = contentsOf(state)
    state.close()
    whole = readFileSync(path)
    beforeLog = readFileSync(join(directory, 'crashed.db'))
    log = readFileSync(join(directory, 'crashed.db-wal'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  function start(file: Buffer, wal?: Buffer): Start {
    const path = join(directory, 'damaged.db')
    for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
    writeFileSync(path, file)
    if (wal !== undefined) writeFileSync(`${path}-wal`, wal)
    let database: ReturnType<typeof openDatabase> | undefined
    try {
      database = openDatabase(path)
      return { started: true, contents: contentsOf(openState({ database }).state) }
    } catch (error) {
      if (error instanceof StoreError) return { started: false, error }
      throw error
    } finally {
      database?.close()
    }
  }

  it('none: everything is there, from the file and from the log', () => {
    for (const found of [start(whole), start(beforeLog, log)]) {
      assert.ok(found.started)
      assert.deepEqual(found.contents, expected)
    }
  })

  it('a flipped bit anywhere: the start stops, or every record is the one that was written', () => {
    const random = seededRandom(1)
    const outcomes = { stopped: 0, started: 0 }
    for (let round = 0; round < 150; round += 1) {
      const file = Buffer.from(whole)
      const at = random(file.length)
      file[at] = (file[at] ?? 0) ^ (1 << random(8))
      const found = start(file)
      outcomes[found.started ? 'started' : 'stopped'] += 1
      if (found.started) assertTrue(found.contents, `bit flipped in byte ${at}`)
    }
    assert.ok(outcomes.stopped > 0 && outcomes.started > 0, JSON.stringify(outcomes))
  })

  it('a page of zeros or of rubbish: likewise', () => {
    const random = seededRandom(2)
    for (let page = 0; page < whole.length / 4096; page += 1) {
      const file = Buffer.from(whole)
      file.fill(page % 2 === 0 ? 0 : random(256), page * 4096, (page + 1) * 4096)
      const found = start(file)
      if (found.started) assertTrue(found.contents, `page ${page}`)
    }
  })

  it('a file that ends early stops the start', () => {
    for (const pages of [0.5, 1, 2, 10, whole.length / 4096 - 1]) {
      const found = start(whole.subarray(0, pages * 4096))
      assert.ok(!found.started, `${pages} pages`)
      assert.equal(found.error.code, 'damaged')
    }
  })

  it('a log that ends early or is zeroed: what was written before is there, and nothing else', () => {
    const random = seededRandom(3)
    const logs = [Buffer.alloc(0), Buffer.alloc(log.length), log.subarray(0, log.length - 1)]
    for (let round = 0; round < 40; round += 1) logs.push(log.subarray(0, random(log.length)))
    for (let round = 0; round < 40; round += 1) {
      const damaged = Buffer.from(log)
      const at = random(damaged.length)
      damaged[at] = (damaged[at] ?? 0) ^ 0xff
      logs.push(damaged)
    }
    for (const [index, damaged] of logs.entries()) {
      const found = start(beforeLog, damaged)
      assert.ok(found.started, `log ${index}`)
      const lost = found.contents.records.filter((record) => !expected.records.includes(record))
      assert.deepEqual(lost, [], `log ${index}`)
    }
  })

  /** Records: all of them. Facts: each what it was, or not known. */
  function assertTrue(found: Contents, what: string): void {
    // The difference alone: all of them in a message would be no message that anyone can read.
    assert.deepEqual(
      found.records.filter((record) => !expected.records.includes(record)),
      [],
      what,
    )
    assert.equal(found.records.length, expected.records.length, what)
    for (const [index, fact] of found.facts.entries()) {
      const { parents, evidence, satisfied, entry, findings, sighting } = fact
      const known = expected.facts[index]
      // A damaged digest names what nobody has, and evidence is verified whenever it is used.
      assert.ok(parents.length <= 1, what)
      assert.ok(
        evidence === undefined || expected.facts.some((other) => isDeepStrictEqual(other.evidence, evidence)),
        what,
      )
      assert.ok(satisfied === undefined || satisfied.getTime() === known?.satisfied?.getTime(), what)
      assert.ok(entry === undefined || entry === known?.entry, what)
      assert.ok(findings === undefined || findings === known?.findings, what)
      assert.ok(sighting === undefined || isDeepStrictEqual(sighting, known?.sighting), what)
    }
  }
})
