import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  decodeFindings,
  encodeFindings,
  isTrustedEnough,
  trustedText,
  type ImageFindings,
} from './findings.ts'
import {
  at,
  builtBy,
  BUILDER,
  DURING,
  keyed,
  keyless,
  OPS,
  provenance,
  RELEASE,
} from './policy/testing/revocations.ts'
import type { TrustRoot } from './verify/types.ts'

const NOTHING: ImageFindings = { verified: [], failures: [], manifestReasons: [] }

const log = { trustRoot: 'public-good', logId: 'ab', logIndex: '7', promise: true, inclusion: false }
const { source } = keyed(OPS)

const CASES: readonly (readonly [name: string, findings: ImageFindings])[] = [
  ['nothing', NOTHING],
  ['a keyless signature', { ...NOTHING, verified: [{ ...keyless(RELEASE, [at(DURING)]), logs: [log] }] }],
  ['an attestation with a key', { ...NOTHING, verified: [builtBy(BUILDER, keyed(OPS))] }],
  [
    'a key under another scheme',
    {
      ...NOTHING,
      verified: [
        { ...keyed(OPS), signer: { kind: 'key', key: OPS, scheme: { hash: 'sha384', pss: true } } },
        { ...keyed(OPS), signer: { kind: 'key', key: OPS, scheme: { hash: null } } },
      ],
    },
  ],
  ['a failure', { ...NOTHING, failures: [{ source, code: 'log-entry', message: 'has "none"\n' }] }],
  [
    'a manifest that is guilty by itself',
    {
      ...NOTHING,
      manifestReasons: [{ code: 'malformed', authority: undefined, found: 'two readings', expected: 'one' }],
    },
  ],
]

suite('findings', () => {
  for (const [name, findings] of CASES) {
    test(`are what they were after a round trip: ${name}`, () => {
      assert.deepEqual(decodeFindings(encodeFindings(findings, '')), { ...findings, isWhole: true })
    })
  }

  for (const [name, bytes, isWhole] of [
    ['of 32 KiB', 32 * 1024, true],
    ['of a byte more', 32 * 1024 + 1, false],
  ] as const) {
    test(`a predicate ${name} is ${isWhole ? 'kept' : 'left out, and marked'}`, () => {
      // Two quotes, and each of these letters is two bytes.
      const predicate = 'ä'.repeat((bytes - 2) >> 1) + 'a'.repeat(bytes % 2)
      const findings = {
        ...NOTHING,
        verified: [keyed(OPS), provenance(keyed(OPS), 'https://spdx.dev/Document', predicate)],
      }
      const { json } = encodeFindings(findings, '')
      assert.equal(Buffer.byteLength(json) > bytes, isWhole)
      const decoded = decodeFindings({ json })
      assert.equal(decoded?.isWhole, isWhole)
      assert.deepEqual(decoded.verified[1]?.claim, {
        kind: 'attestation',
        statement: { predicateType: 'https://spdx.dev/Document', predicate: isWhole ? predicate : undefined },
      })
    })
  }

  for (const [depth, isWhole] of [
    [64, true],
    [65, false],
    [10_000, false],
  ] as const) {
    test(`a predicate ${depth} deep is ${isWhole ? 'kept' : 'left out, and marked'}`, () => {
      const predicate: unknown = JSON.parse('['.repeat(depth) + ']'.repeat(depth))
      const verified = [provenance(keyed(OPS), 'https://x.example/t', predicate)]
      assert.equal(decodeFindings(encodeFindings({ ...NOTHING, verified }, ''))?.isWhole, isWhole)
    })
  }

  test('are not whole where a log could still prove more', () => {
    const unlogged = [
      {
        candidate: 'a',
        source,
        trustRoot: 'public-good',
        signer: { kind: 'key', key: OPS } as const,
        claim: { kind: 'signature' } as const,
        query: {
          id: '',
          wording: '',
          proposals: [],
          isExact: true,
          indexedBy: undefined,
          signature: '',
          signer: '',
          envelopeHashes: [],
        },
      },
    ]
    assert.equal(decodeFindings(encodeFindings({ ...NOTHING, unlogged }, ''))?.isWhole, false)
  })

  for (const [name, from, to] of [
    ['another version', '"version":1', '"version":2'],
    ['a field that is not known', '"failures":[]', '"failures":[],"more":1'],
    ['a time that is none', '"times":[]', '"times":[{}]'],
    ['a signer that is none', '"kind":"key"', '"kind":"none"'],
    ['a digest that is none', source.blob, 'sha256:0'],
  ] as const) {
    test(`of ${name} are none`, () => {
      const { json } = encodeFindings({ ...NOTHING, verified: [keyed(OPS)] }, '')
      assert.ok(json.includes(from))
      assert.equal(decodeFindings({ json: json.replace(from, to) }), undefined)
    })
  }
})

suite('what they were made with', () => {
  const root = (name: string, version: string, isRetiring = false): TrustRoot => {
    return { name, kind: 'sigstore', version, json: '', material: {} as TrustRoot['material'], isRetiring }
  }
  const key = (id: string) => ({ id, key: {} as never })
  const [one, two] = [root('a', 'sha256:1'), root('b', 'sha256:2')]
  const [rotated, rotating] = [root('d', 'sha256:5'), root('d', 'sha256:4', true)]

  test('has one text, whatever the order and however often', () => {
    const text = trustedText({ roots: [one, two], keys: [key('k'), key('l')], logsToAsk: ['a'] })
    const again = { roots: [two, one, two], keys: [key('l'), key('k')], logsToAsk: ['a', 'a'] }
    assert.equal(trustedText(again), text)
    assert.equal(text, 'key k\nkey l\nlog a\nroot a sha256:1\nroot b sha256:2')
  })

  for (const [name, now, isEnough] of [
    ['the same', { roots: [one, two], keys: [key('k')] }, true],
    ['less', { roots: [two], keys: [] }, true],
    ['nothing', { roots: [], keys: [] }, true],
    ['another root', { roots: [root('c', 'sha256:1')], keys: [] }, false],
    ['another version of a root', { roots: [root('a', 'sha256:3')], keys: [] }, false],
    ['a root that is retiring now', { roots: [root('a', 'sha256:1', true)], keys: [] }, false],
    ['another key', { roots: [one], keys: [key('l')] }, false],
    [
      'the same key under another scheme',
      { roots: [], keys: [{ ...key('k'), scheme: { hash: 'sha512' } }] },
      false,
    ],
    ['a log to ask', { roots: [one], keys: [], logsToAsk: ['a'] }, false],
    ['a root that is one of two of its name no more', { roots: [rotated], keys: [] }, false],
    ['both roots of one name', { roots: [rotated, rotating], keys: [] }, true],
  ] as const) {
    test(`${isEnough ? 'is enough' : 'is not enough'} for ${name}`, () => {
      const stored = trustedText({ roots: [one, two, rotated, rotating], keys: [key('k')] })
      assert.equal(isTrustedEnough(stored, trustedText(now)), isEnough)
      assert.equal(isTrustedEnough('', trustedText(now)), trustedText(now) === '')
    })
  }
})
