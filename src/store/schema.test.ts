import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it, type TestContext } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { openDatabase } from './database.ts'
import { MIGRATIONS } from './schema.ts'
import { digest, openState, repository, rowCount } from './testing/state.ts'

/** A database as the release with schema 1 left it. */
function schemaOne(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'schema-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'state.db')
  const database = new DatabaseSync(path)
  database.exec(MIGRATIONS[0] ?? '')
  database.exec('PRAGMA user_version = 1')
  const id = (text: string): number => {
    database.prepare('INSERT OR IGNORE INTO name (text) VALUES (?)').run(text)
    return Number(database.prepare('SELECT id FROM name WHERE text = ?').get(text)?.['id'])
  }
  const closure = database.prepare(
    'INSERT INTO closure (repository, kind, digest, parent) VALUES (?, ?, ?, ?)',
  )
  const name = id('ghcr.io/a/b')
  const long = digestOf(Buffer.from('long'), 'sha512')
  for (const [kind, named, parent] of [
    ['blob', digest('layer'), digest('older')],
    ['child', digest('child'), digest('index')],
    ['blob', digest('layer'), digest('newer')],
    ['evidence', long, digest('signature')],
    ['blob', 'no digest', digest('newer')],
  ] as const)
    closure.run(name, kind, id(named), id(parent))
  database.prepare('INSERT INTO blob VALUES (?, ?)').run(name, id(digest('member')))
  database.prepare('INSERT INTO manifest VALUES (?, ?, ?)').run('ghcr.io/a/b', digest('newer'), 'type')
  const key = '{"a":1}'
  const decision = hash('sha256', key, 'hex').slice(0, 12)
  database.prepare('INSERT INTO decision VALUES (?, ?, 1, 2, 3, ?)').run(key, decision, key)
  database.close()
  return path
}

describe('the second schema', () => {
  it('keeps everything that the first one knew', (t) => {
    const { state, database } = openState({ database: openDatabase(schemaOne(t)) })
    const image = repository('a/b')
    assert.deepEqual(state.parentsOfBlob(image, digest('layer')), [digest('newer'), digest('older')])
    assert.deepEqual(state.parentsOfManifest(image, digest('child')), [digest('index')])
    assert.deepEqual(state.evidenceParentsOfBlob(image, digestOf(Buffer.from('long'), 'sha512')), [
      digest('signature'),
    ])
    assert.equal(state.hasBlob(image, digest('member')), true)
    assert.equal(state.manifestType(image, digest('newer')), 'type')
    assert.equal(state.decisions(1)[0]?.count, 3)
    assert.equal(rowCount(database, 'repository'), 1)
    assert.equal(rowCount(database, 'closure'), 4)
    state.close()
  })

  it('has an index for whatever is evicted by', (t) => {
    const database = openDatabase(schemaOne(t))
    const orders = [
      ['evidence', 'used_at'],
      ['log_entry', 'used_at'],
      ['finding', 'used_at'],
      ['sighting', 'last_at'],
      ['satisfied', 'used_at'],
      ['parent', 'used_at'],
      ['member', 'used_at'],
      ['manifest', 'used_at'],
      ['tag', 'checked_at'],
      ['content', 'used_at'],
    ] as const
    for (const [table, order] of orders) {
      const plan = database
        .prepare(`EXPLAIN QUERY PLAN SELECT 1 FROM ${table} ORDER BY ${order} LIMIT 1`)
        .all()
      assert.match(JSON.stringify(plan), /USING (COVERING )?INDEX/, table)
    }
    const tables = database
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .all()
      .map((row) => String(row['name']))
    // As many stages as there are policies and rings, and no closure or repository without a row that is bounded.
    const bounded = [...orders.map(([table]) => table), 'closure', 'repository', 'rollout_stage']
    assert.deepEqual(new Set(tables), new Set([...bounded, 'admission', 'decision', 'promotion']))
    database.close()
  })
})
