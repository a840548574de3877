import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { claimOf } from './claim.ts'
import { PREDICATE_BYTES_KEPT_MAX, PREDICATE_DEPTH_KEPT_MAX } from './limits.ts'

const SUBJECT = digestOf(Buffer.from('image'))

function predicateOf(predicate: string): unknown {
  const subject = [{ name: 'image', digest: { sha256: SUBJECT.slice('sha256:'.length) } }]
  const rest = { _type: 'https://in-toto.io/Statement/v1', subject, predicateType: 'https://a.example/v1' }
  const payload = Buffer.from(`${JSON.stringify(rest).slice(0, -1)},"predicate":${predicate}}`)
  const payloadType = 'application/vnd.in-toto+json'
  const content = {
    kind: 'envelope',
    payloadType,
    payload,
    signature: Buffer.alloc(0),
    layer: undefined,
  } as const
  const claim = claimOf(content, SUBJECT, undefined)
  assert.ok(claim.kind === 'attestation')
  return claim.statement.predicate
}

const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`

describe('a predicate is kept', () => {
  it('as it is', () => assert.deepEqual(predicateOf('{"a":[1,"b",null]}'), { a: [1, 'b', null] }))
  it('as deep as anybody writes it', () => {
    assert.notEqual(predicateOf(nested(PREDICATE_DEPTH_KEPT_MAX)), undefined)
  })
  it('not deeper: copying it would overflow the stack', () => {
    assert.equal(predicateOf(nested(PREDICATE_DEPTH_KEPT_MAX + 1)), undefined)
    assert.equal(predicateOf(nested(10_000)), undefined)
  })
  it('not larger', () => {
    assert.equal(predicateOf(JSON.stringify('a'.repeat(PREDICATE_BYTES_KEPT_MAX))), undefined)
  })
})
