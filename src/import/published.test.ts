import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { publishedTable, type Published } from '../../scripts/policy-import-table.ts'

/** The tables of the documentation are what the importer says today of a checkout of the projects. */

const PAGE = new URL('../../docs/policy-import.md', import.meta.url)
const CHECKOUTS: readonly (readonly [Published, string])[] = [
  ['policy-controller', 'PORTCULLIS_POLICY_CONTROLLER'],
  ['kyverno', 'PORTCULLIS_KYVERNO'],
]

describe('published policies', () => {
  for (const [published, variable] of CHECKOUTS) {
    const checkout = process.env[variable]
    const skip = checkout === undefined ? `${variable} names no checkout of ${published}` : false
    it(`of ${published} come to what the documentation says`, { skip }, async () => {
      const page = await readFile(PAGE, 'utf8')
      const [, section = ''] = page.split(new RegExp(`<!-- /?${published} -->`))
      assert.equal(section.trim(), publishedTable(published, checkout ?? '').trim())
    })
  }
})
