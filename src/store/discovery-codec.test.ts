import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { Discovery } from '../discover/types.ts'
import { digestOf } from '../oci/digest.ts'
import { LOOKED_UP_ENTRIES_MAX } from '../verify/limits.ts'
import type { Candidate } from '../verify/types.ts'
import { decodeDiscovery, encodeDiscovery } from './discovery-codec.ts'

const blob = digestOf(Buffer.from('blob'))
const source = { found: 'signature-tag', manifest: digestOf(Buffer.from('manifest')), blob } as const
const signature: Candidate = {
  form: 'simple-signing',
  source,
  bytes: Buffer.from('payload'),
  annotations: { a: 'b' },
}
const bundle: Candidate = { form: 'bundle', source, bytes: Buffer.from('{}') }

function discoveryOf(...candidates: readonly Candidate[]): Discovery {
  return { candidates, rejected: [], failures: [] }
}

describe('a stored discovery', () => {
  it('keeps the log entries that were looked up, each with its signature', () => {
    const discovery = discoveryOf({ ...signature, logEntries: ['{"a":1}', '{"b":2}'] }, bundle, {
      ...bundle,
      logEntries: ['{"c":3}'],
    })
    assert.deepEqual(decodeDiscovery(encodeDiscovery(discovery)), discovery)
  })

  it('of the time before there were any is read as it was written', () => {
    const header = JSON.stringify({
      version: 1,
      candidates: [
        { form: 'bundle', source, length: 2 },
        { form: 'simple-signing', source, length: 7, annotations: { a: 'b' } },
      ],
      rejected: [],
    })
    const bytes = Buffer.from('{}payload')
    const checksum = `sha256:${createHash('sha256').update(`${header}\n`).update(bytes).digest('hex')}`
    assert.deepEqual(decodeDiscovery({ header, bytes, checksum }), discoveryOf(bundle, signature))
    assert.equal(encodeDiscovery(discoveryOf(bundle, signature)).header, header)
  })

  it('keeps a few entries of a signature and no more', () => {
    const logEntries = Array.from({ length: 10 }, (_, index) => `{"n":${index}}`)
    const encoded = encodeDiscovery(discoveryOf({ ...bundle, logEntries }))
    const kept = decodeDiscovery(encoded)?.candidates[0]?.logEntries
    assert.deepEqual(kept, logEntries.slice(0, LOOKED_UP_ENTRIES_MAX))
  })
})
