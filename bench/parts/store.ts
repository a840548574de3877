import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Discovery } from '../../src/discover/types.ts'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { parseTag, type Repository, type Tag } from '../../src/oci/reference.ts'
import { openContentStore } from '../../src/store/content.ts'
import { openDatabase } from '../../src/store/database.ts'
import { createStateStore } from '../../src/store/state.ts'
import type { Sighting, StateStore } from '../../src/store/types.ts'
import { checked, checkedAsync, once, type Part } from './part.ts'

const APP: Repository = { registry: 'ghcr.io', name: 'acme/app' }
const NOW = new Date('2026-11-20T12:00:00Z')
const BYTES = 2048
const SIGHTINGS = 64

type Store = Awaited<ReturnType<typeof openStore>>

/** On the disk of the temporary directory, in WAL as in production; every write is of something new. */
async function openStore(closing: AsyncDisposableStack) {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-parts-'))
  closing.defer(async () => await rm(directory, { recursive: true }))
  const options = {
    now: () => NOW,
    onError: (error: Error) => {
      throw error
    },
  }
  const database = openDatabase(join(directory, 'portcullis.db'))
  const state = createStateStore(database, options)
  closing.defer(() => state.close())
  const content = await openContentStore({
    ...options,
    directory: join(directory, 'content'),
    bytesMax: 1024 ** 3,
    database,
  })
  closing.defer(async () => await content.close())
  await content.reconciled
  return { state, content }
}

const digest = (turn: number): Digest => digestOf(Buffer.from(String(turn)))

function tagOf(turn: number): Tag {
  const tag = parseTag(`v${turn}`)
  assert.ok(tag !== undefined)
  return tag
}

/** What is remembered, table by table. */
export function storeParts(closing: AsyncDisposableStack): readonly Part[] {
  const store = once(() => openStore(closing))
  return [...factParts(store), ...evidenceParts(store), ...recordParts(store), ...contentParts(store)]
}

/** Writes something new each time; what turn 0 wrote is read. */
function tableParts<T>(
  store: () => Promise<Store>,
  table: string,
  {
    write,
    read,
  }: {
    readonly write: (state: StateStore, turn: number) => void
    readonly read: (state: StateStore) => T
  },
): readonly Part[] {
  const found = (state: StateStore): void => {
    const one: unknown = read(state)
    assert.ok(one !== undefined && one !== false && !(Array.isArray(one) && one.length === 0))
  }
  return [
    {
      name: `store/${table}-write`,
      async open() {
        const { state } = await store()
        return checked(
          (turn) => write(state, turn),
          () => found(state),
        )
      },
    },
    {
      name: `store/${table}-read`,
      async open() {
        const { state } = await store()
        write(state, 0)
        return checked(
          () => read(state),
          () => found(state),
        )
      },
    },
  ]
}

function factParts(store: () => Promise<Store>): readonly Part[] {
  const blobs = Array.from({ length: 9 }, (_, n) => digestOf(Buffer.from(`blob ${n}`)))
  const [blob = digest(0)] = blobs
  const fact = { repository: APP, policy: 'acme', policyVersion: 'sha256:1' } as const
  return [
    ...tableParts(store, 'tag', {
      write: (state, turn) => state.setTag(APP, tagOf(turn), digest(0), NOW),
      read: (state) => state.getTag(APP, tagOf(0)),
    }),
    ...tableParts(store, 'manifest', {
      write: (state, turn) => state.addManifest(APP, digest(turn), 'application/json'),
      read: (state) => state.manifestType(APP, digest(0)),
    }),
    ...tableParts(store, 'blob', {
      write: (state, turn) => state.addBlob(APP, digest(turn)),
      read: (state) => state.hasBlob(APP, digest(0)),
    }),
    // An image of 8 layers; all images have them in common, as those of one base image do.
    ...tableParts(store, 'closure', {
      write: (state, turn) => state.addClosure(APP, digest(turn), { children: [], blobs, isEvidence: false }),
      read: (state) => state.parentsOfBlob(APP, blob),
    }),
    ...tableParts(store, 'satisfied', {
      write: (state, turn) => state.noteSatisfied({ ...fact, digest: digest(turn), at: NOW }),
      read: (state) => state.lastSatisfied({ ...fact, digest: digest(0) }),
    }),
  ]
}

function evidenceParts(store: () => Promise<Store>): readonly Part[] {
  const source = { found: 'referrer', manifest: digest(0), blob: digest(0) } as const
  // A signature and provenance, as large as GitHub's.
  const candidates = [6_000, 12_000].map((sizeBytes) => {
    return { form: 'bundle', source, bytes: Buffer.alloc(sizeBytes, 'x') } as const
  })
  const discovery: Discovery = { candidates, rejected: [], failures: [] }
  const findings = { trusted: 'root public-good sha256:1', json: JSON.stringify({ text: 'x'.repeat(6_000) }) }
  return [
    ...tableParts(store, 'evidence', {
      write: (state, turn) => state.setEvidence(APP, digest(turn), discovery, NOW),
      read: (state) => state.getEvidence(APP, digest(0)),
    }),
    ...tableParts(store, 'findings', {
      write: (state, turn) => state.setFindings(APP, digest(turn), findings),
      read: (state) => state.getFindings(APP, digest(0)),
    }),
  ]
}

function recordParts(store: () => Promise<Store>): readonly Part[] {
  const decisionOf = (turn: number) => {
    const key = JSON.stringify({ repository: 'ghcr.io/acme/app', digest: digest(turn), outcome: 'refuse' })
    return { key, id: digest(turn).slice(7, 19), at: NOW, json: key }
  }
  return [
    {
      // With an fsync: a refusal is durable before its first byte leaves.
      name: 'store/decision-new',
      async open() {
        const { state } = await store()
        return checked(
          (turn) => state.recordDecision(decisionOf(turn)),
          (isNew) => assert.equal(typeof isNew, 'boolean'),
        )
      },
    },
    {
      name: 'store/decision-repeat',
      async open() {
        const { state } = await store()
        state.recordDecision(decisionOf(0))
        return checked(
          () => state.recordDecision(decisionOf(0)),
          (isNew) => assert.equal(isNew, false),
        )
      },
    },
    {
      name: `store/sightings-of-${SIGHTINGS}`,
      async open() {
        const { state } = await store()
        return checked(
          (turn) => state.noteSightings(sightingsOf(turn)),
          () => assert.ok([...state.sightings(NOW)].length >= SIGHTINGS),
        )
      },
    },
  ]
}

function sightingsOf(turn: number): readonly Sighting[] {
  return Array.from({ length: SIGHTINGS }, (_, n) => ({
    repository: APP,
    digest: digest(turn * SIGHTINGS + n),
    ring: 'default',
    tags: ['v1.0.0'],
    pulls: 1,
    at: NOW,
    outcome: 'serve',
    isSigned: true,
    hasProvenance: true,
    results: [{ policy: 'acme', version: 'sha256:1', mode: 'enforce', verdict: 'satisfied', because: '' }],
  }))
}

function contentParts(store: () => Promise<Store>): readonly Part[] {
  const bytesOf = (turn: number): Buffer => Buffer.alloc(BYTES, `${turn} `)
  return [
    {
      name: 'content/put-2-kib',
      async open() {
        const { content } = await store()
        const put = async (turn: number): Promise<Digest> => {
          const bytes = bytesOf(turn)
          const name = digestOf(bytes)
          await content.put(name, bytes)
          return name
        }
        return await checkedAsync(put, (name) => assert.equal(content.size(name), BYTES))
      },
    },
    {
      name: 'content/read-2-kib',
      async open() {
        const { content } = await store()
        const name = digestOf(bytesOf(0))
        await content.put(name, bytesOf(0))
        return await checkedAsync(
          async () => await content.read(name),
          (bytes) => assert.deepEqual(bytes, bytesOf(0)),
        )
      },
    },
  ]
}
