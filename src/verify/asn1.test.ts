import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { ASN1Obj } from '@sigstore/core'
import fc from 'fast-check'
import { createSigstore } from '../testing/sigstore.ts'
import { IDENTITY, STATEMENT } from '../testing/verification.ts'
import { loadPublicGoodRoot } from '../trust/public-good.ts'
import { parseDer } from './asn1.ts'

/** A node without its class, so that those of two parsers can be compared. */
type Plain = {
  readonly tag: number
  readonly value: string
  readonly der: string
  readonly subs: readonly Plain[]
}

function plain(node: ASN1Obj): Plain {
  const [value, der] = [node.value.toString('hex'), node.toDER().toString('hex')]
  return { tag: node.tag.toDER(), value, der, subs: node.subs.map(plain) }
}

function attempt(parse: () => ASN1Obj): Plain | 'refused' {
  try {
    return plain(parse())
  } catch {
    return 'refused'
  }
}

function assertSame(bytes: Uint8Array): void {
  assert.deepEqual(
    attempt(() => parseDer(bytes)),
    attempt(() => ASN1Obj.parseBuffer(Buffer.from(bytes))),
  )
}

function element(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

suite('parseDer reads what the library reads', () => {
  const real: Buffer[] = []

  before(async () => {
    const sigstore = await createSigstore()
    const { verificationMaterial } = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), {
      timestamp: true,
    })
    const { content, timestampVerificationData } = verificationMaterial
    if (content.$case === 'certificate') real.push(Buffer.from(content.certificate.rawBytes))
    for (const { signedTimestamp } of timestampVerificationData?.rfc3161Timestamps ?? [])
      real.push(Buffer.from(signedTimestamp))
    const { certificateAuthorities, timestampAuthorities } = loadPublicGoodRoot().material
    for (const { certChain } of [...certificateAuthorities, ...timestampAuthorities]) {
      for (const certificate of certChain) real.push(certificate.root.toDER())
    }
    assert.ok(real.length > 5)
  })

  test('in certificates and timestamps', () => {
    for (const bytes of real) {
      assert.notEqual(
        attempt(() => parseDer(bytes)),
        'refused',
      )
      assertSame(bytes)
    }
  })

  test('in those with one byte changed or cut off', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(255), fc.boolean(), (which, where, value, cut) => {
        const bytes = Buffer.from(real[which % real.length] ?? Buffer.alloc(0))
        const at = where % bytes.length
        bytes.writeUInt8(value, at)
        assertSame(cut ? bytes.subarray(0, at) : bytes)
      }),
      { numRuns: 500 },
    )
  })

  test('in nests of anything', () => {
    const { tree } = fc.letrec<{ tree: Buffer }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium' },
        fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
        fc
          .tuple(
            fc.constantFrom(0x04, 0x24, 0x30, 0x31, 0xa0, 0x02, 0x80, 0x1f, 0x00),
            fc.array(tie('tree'), { maxLength: 4 }),
          )
          .map(([tag, parts]) => element(tag, Buffer.concat(parts))),
      ),
    }))
    fc.assert(fc.property(tree, assertSame), { numRuns: 2000 })
  })

  for (const [name, bytes] of [
    ['nothing', []],
    ['a tag alone', [0x30]],
    ['trailing bytes', [0x05, 0x00, 0x00]],
    ['indefinite length', [0x30, 0x80, 0x00, 0x00]],
    ['a length that could be shorter', [0x04, 0x81, 0x01, 0xff]],
    ['a length with a leading zero', [0x04, 0x82, 0x00, 0x80, ...Array.from({ length: 128 }, () => 0)]],
    ['a length of seven bytes', [0x04, 0x87, 1, 1, 1, 1, 1, 1, 1]],
    ['a length beyond the end', [0x30, 0x84, 0xff, 0xff, 0xff, 0xff]],
    ['a child beyond its parent', [0x30, 0x02, 0x04, 0x05, 1, 2, 3, 4, 5]],
  ] as const) {
    test(`${name}: refused by both`, () => {
      assertSame(Uint8Array.from(bytes))
      assert.throws(() => parseDer(Uint8Array.from(bytes)), SyntaxError)
    })
  }

  test('a node gives away a copy of its bytes', () => {
    const node = parseDer(Buffer.of(0x30, 0x03, 0x02, 0x01, 0x07))
    node.toDER().fill(0)
    assert.deepEqual([...node.toDER()], [0x30, 0x03, 0x02, 0x01, 0x07])
  })

  test('nested deeper than a hundred', () => {
    for (const tag of [0x30, 0x04]) {
      let bytes = element(0x02, Buffer.of(1))
      for (let depth = 0; depth < 110; depth++) {
        bytes = element(tag, bytes)
        assertSame(bytes)
      }
    }
  })
})
