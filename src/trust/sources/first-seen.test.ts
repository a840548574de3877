import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { loadPublicGoodRoot } from '../public-good.ts'
import { firstSeen } from './first-seen.ts'

const ROOT = loadPublicGoodRoot()
const NOW = new Date('2027-01-01T00:00:00Z')
const EARLIER = new Date('2026-12-01T00:00:00Z')
const AHEAD = new Date('2028-01-01T00:00:00Z')
const UNSET = new Date(0)

let directory: string
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'first-seen-'))
})
after(() => rm(directory, { recursive: true }))

type Case = {
  readonly name: string
  readonly stored: Date | string
  readonly now: Date
  readonly since: Date
  readonly kept: Date | string
}

const CASES: readonly Case[] = [
  { name: 'as it was written', stored: EARLIER, now: NOW, since: EARLIER, kept: EARLIER },
  { name: 'nothing that is a time', stored: 'x', now: NOW, since: NOW, kept: NOW },
  { name: 'written by a clock that was ahead', stored: AHEAD, now: NOW, since: NOW, kept: NOW },
  { name: 'written by a clock that was not set', stored: UNSET, now: NOW, since: NOW, kept: NOW },
  { name: 'a clock that is not set yet', stored: EARLIER, now: UNSET, since: EARLIER, kept: EARLIER },
]

suite('firstSeen', () => {
  for (const { name, stored, now, since, kept } of CASES) {
    test(name, async () => {
      const text = (one: Date | string): string => (one instanceof Date ? `${one.toISOString()}\n` : one)
      await writeFile(join(directory, 'first-seen'), text(stored))
      assert.deepEqual(await firstSeen(directory, ROOT, now), since)
      assert.equal(await readFile(join(directory, 'first-seen'), 'utf8'), text(kept))
    })
  }

  test('the first start of all with a clock that is not set: nothing of it is written', async () => {
    const empty = await mkdtemp(join(directory, 'empty-'))
    assert.ok((await firstSeen(empty, ROOT, UNSET)).getFullYear() >= 2021)
    assert.deepEqual(await firstSeen(empty, ROOT, NOW), NOW)
  })
})
