import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { publish, publishSigned, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'
import { errorOf } from './http.ts'

/** What is on disk when an answer leaves, and what is served when the disk is in trouble. */

type Row = { readonly id: string; readonly count: number; readonly json: string }

function query(harness: Harness, sql: string): readonly Record<string, unknown>[] {
  const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
  try {
    return database.prepare(sql).all()
  } finally {
    database.close()
  }
}

function decisions(harness: Harness): readonly Row[] {
  return query(harness, 'SELECT id, count, json FROM decision').map(({ id, count, json }) => ({
    id: String(id),
    count: Number(count),
    json: String(json),
  }))
}

test('refusal: the row is there when the answer is, and a repeat is counted, not written', async () => {
  await using harness = await startHarness()
  const image = uniqueImage('recorded')
  publish(harness, { repository: 'enforced/app', image })
  const first = await harness.get('/v2/enforced/app/manifests/v1')
  const [row, ...others] = decisions(harness)
  assert.ok(row !== undefined)
  assert.deepEqual(others, [])
  assert.equal(row.id, first.headers['x-portcullis-decision-id'])
  const { outcome, digest }: { outcome: string; digest: string } = JSON.parse(row.json)
  assert.deepEqual({ outcome, digest }, { outcome: 'refuse', digest: image.digest })
  for (const reference of ['v1', image.digest, 'v1', image.digest]) {
    // oxlint-disable-next-line no-await-in-loop -- each is another request
    assert.equal((await harness.get(`/v2/enforced/app/manifests/${reference}`)).status, 403)
  }
  assert.deepEqual(decisions(harness), [row])
  await harness.restart()
  assert.deepEqual(decisions(harness), [{ ...row, count: 5 }])
  const again = await harness.get('/v2/enforced/app/manifests/v1')
  assert.equal(
    again.headers['x-portcullis-decision-id'],
    row.id,
    'the same decision has the same id after a restart',
  )
  assert.equal(decisions(harness).length, 1)
})

test('what is only reported is recorded too; what is served as it should be, and what was never seen, is not', async () => {
  await using harness = await startHarness()
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('served') })
  publish(harness, { repository: 'observed/app', image: uniqueImage('reported') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  assert.deepEqual(decisions(harness), [])
  const reported = await harness.get('/v2/observed/app/manifests/v1')
  assert.equal(reported.status, 200)
  await harness.registry.stop()
  assert.equal((await harness.get('/v2/enforced/unseen/manifests/v1')).status, 503)
  assert.deepEqual(
    decisions(harness).map(({ id }) => id),
    [reported.headers['x-portcullis-decision-id']],
  )
})

test('a refusal that cannot be recorded is still no pull, and still leaves nothing to fall back to', async () => {
  await using harness = await startHarness()
  const image = uniqueImage('unrecorded')
  publish(harness, { repository: 'enforced/app', image })
  query(harness, 'DROP TABLE decision')
  const get = await harness.get('/v2/enforced/app/manifests/v1')
  assert.equal(get.status, 503)
  assert.equal(errorOf(get).code, 'UNAVAILABLE')
  const head = await harness.head(`/v2/enforced/app/manifests/${image.digest}?ns=hub`)
  assert.equal(head.status, 300)
})

test('content directory broken: verified images are served all the same, blobs too', async () => {
  await using harness = await startHarness()
  const index = uniqueIndex('no disk')
  const [child] = index.images
  assert.ok(child !== undefined)
  await publishSigned(harness, { repository: 'enforced/app', image: index })
  await rm(join(harness.dataDirectory, 'content'), { recursive: true })
  await writeFile(join(harness.dataDirectory, 'content'), 'a file where a directory should be')
  for (const path of [
    'manifests/v1',
    `manifests/${child.digest}`,
    `blobs/${digestOf(child.config)}`,
    `blobs/${child.layers[0]?.digest}`,
  ]) {
    for (let time = 0; time < 2; time++) {
      // oxlint-disable-next-line no-await-in-loop -- twice: cold and warm
      const reply = await harness.get(`/v2/enforced/app/${path}`)
      assert.equal(reply.status, 200, path)
      assert.equal(
        digestOf(reply.body),
        path.includes('sha256') ? path.slice(path.indexOf('/') + 1) : index.digest,
      )
    }
  }
})

test('database broken under way: what is verified is served, and what it names', async () => {
  await using harness = await startHarness()
  const index = uniqueIndex('no database')
  const [child] = index.images
  assert.ok(child !== undefined)
  await publishSigned(harness, { repository: 'enforced/app', image: index })
  for (const table of ['closure', 'manifest', 'tag', 'evidence', 'content'])
    query(harness, `DROP TABLE ${table}`)
  for (const path of ['manifests/v1', `manifests/${child.digest}`, `blobs/${digestOf(child.config)}`]) {
    // oxlint-disable-next-line no-await-in-loop -- from the root down
    assert.equal((await harness.get(`/v2/enforced/app/${path}`)).status, 200, path)
  }
})
