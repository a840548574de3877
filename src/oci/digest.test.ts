import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { digestOf, digestParts, digestVerifier, matchesDigest, parseDigest } from './digest.ts'

const HEX_64 = 'a'.repeat(64)

describe('parseDigest', () => {
  const bad = {
    'upper case hex': `sha256:${'A'.repeat(64)}`,
    'upper case algorithm': `SHA256:${HEX_64}`,
    'too short': `sha256:${'a'.repeat(63)}`,
    'too long': `sha256:${'a'.repeat(65)}`,
    'length of another algorithm': `sha512:${HEX_64}`,
    'unknown algorithm': `md5:${'a'.repeat(32)}`,
    'trailing line feed': `sha256:${HEX_64}\n`,
    'leading space': ` sha256:${HEX_64}`,
    'hex alone': HEX_64,
    'not hex': `sha256:${'g'.repeat(64)}`,
    empty: '',
  }
  for (const [name, text] of Object.entries(bad)) {
    test(`refuses: ${name}`, () => assert.equal(parseDigest(text), undefined))
  }
})

test('a digest of any bytes parses, and matches them and nothing else', () => {
  const algorithms = fc.constantFrom('sha256' as const, 'sha384' as const, 'sha512' as const)
  fc.assert(
    fc.property(fc.uint8Array(), algorithms, (bytes, algorithm) => {
      const digest = digestOf(bytes, algorithm)
      assert.equal(parseDigest(digest), digest)
      assert.equal(digestParts(digest).algorithm, algorithm)
      assert.ok(matchesDigest(bytes, digest))
      assert.ok(!matchesDigest(Buffer.concat([bytes, Buffer.of(0)]), digest))
    }),
  )
})

test('a digest computed piece by piece is the digest of the whole', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), fc.boolean(), (chunks, tampered) => {
      const verifier = digestVerifier(digestOf(Buffer.concat(chunks)))
      for (const chunk of chunks) verifier.update(chunk)
      if (tampered) verifier.update(Buffer.of(1))
      assert.equal(verifier.matches(), !tampered)
    }),
  )
})
