import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { attestedBy, IMAGE, KEY_SIGNER, SUMMARY_V0_2, SUMMARY_V1, TYPE } from '../testing/provenance.ts'
import { pathText } from './problem.ts'
import type { Shortfall } from './types.ts'
import { compileVsa, vsaPassed, vsaSchema } from './vsa.ts'

const VERIFIERS = ['https://verifier.example/v1']
const ASKED = { verifiers: VERIFIERS, levels: ['SLSA_BUILD_LEVEL_2'] }

function judged(document: unknown, predicate: unknown, type: string = TYPE.vsa): Shortfall | undefined {
  const problems: string[] = []
  const checks = compileVsa(vsaSchema.parse(document), type, ['vsa'], (path, message) => {
    problems.push(`${pathText(path)}: ${message}`)
    return undefined
  })
  assert.deepEqual(problems, [])
  const verified = attestedBy(KEY_SIGNER, type, predicate)
  return [vsaPassed(type), ...checks]
    .map((one) => one.check(verified, IMAGE))
    .find((shortfall) => shortfall !== undefined)
}

function summary(changes: Record<string, unknown>): unknown {
  return { ...SUMMARY_V1, ...changes }
}

test('a summary of each version', () => {
  assert.equal(judged(ASKED, SUMMARY_V1), undefined)
  assert.equal(
    judged({ verifiers: VERIFIERS, levels: ['SLSA_LEVEL_3'] }, SUMMARY_V0_2, TYPE.vsa0_2),
    undefined,
  )
})

const REFUSED: Readonly<Record<string, readonly [document: unknown, predicate: unknown, found: RegExp]>> = {
  'a summary that failed': [ASKED, summary({ verificationResult: 'FAILED' }), /verification result FAILED$/],
  'a result in other letters': [ASKED, summary({ verificationResult: 'passed' }), /result passed$/],
  'no result': [
    ASKED,
    summary({ verificationResult: undefined }),
    /predicate\.verificationResult is missing$/,
  ],
  'another verifier': [
    ASKED,
    summary({ verifier: { id: 'https://evil.example' } }),
    /with verifier https:\/\/evil/,
  ],
  'a verifier that is no object': [ASKED, summary({ verifier: VERIFIERS[0] }), /predicate\.verifier\.id is/],
  'a lower level': [
    { ...ASKED, levels: ['SLSA_BUILD_LEVEL_3'] },
    SUMMARY_V1,
    /with verified levels ACME_REVIEWED, SLSA_BUILD_LEVEL_2$/,
  ],
  'the level of another track': [
    ASKED,
    summary({ verifiedLevels: ['SLSA_SOURCE_LEVEL_3'] }),
    /verified levels SLSA_SOURCE/,
  ],
  'one of two levels': [
    { ...ASKED, levels: ['SLSA_BUILD_LEVEL_1', 'ACME_SCANNED'] },
    SUMMARY_V1,
    /with verified levels/,
  ],
  'a failed track': [
    ASKED,
    summary({ verifiedLevels: ['SLSA_BUILD_LEVEL_3', 'FAILED'] }),
    /LEVEL_3, FAILED$/,
  ],
  'no levels': [ASKED, summary({ verifiedLevels: [] }), /with no verified levels$/],
  'levels that are no list': [
    ASKED,
    summary({ verifiedLevels: 'SLSA_BUILD_LEVEL_3' }),
    /verifiedLevels is no list/,
  ],
  'a level that is no text': [ASKED, summary({ verifiedLevels: [3] }), /verifiedLevels\[0\] is no text$/],
  'another image': [
    ASKED,
    summary({ resourceUri: 'ghcr.io/acme/other' }),
    /about resource ghcr\.io\/acme\/other/,
  ],
  'no resource': [ASKED, summary({ resourceUri: undefined }), /predicate\.resourceUri is missing$/],
  'a resource that is not asked for': [
    { ...ASKED, resourceUris: ['ghcr.io/acme/base'] },
    SUMMARY_V1,
    /with resource ghcr\.io\/acme\/app$/,
  ],
  'another policy': [
    { ...ASKED, policies: ['https://policies.example/strict'] },
    SUMMARY_V1,
    /with policy https:\/\/policies\.example\/app$/,
  ],
}

for (const [name, [document, predicate, found]] of Object.entries(REFUSED)) {
  test(`${name} is refused`, () => assert.match(judged(document, predicate)?.found ?? 'accepted', found))
}

const ABOUT: readonly (readonly [uri: string, isImage: boolean])[] = [
  ['ghcr.io/acme/app', true],
  ['ghcr.io/acme/app:v1', true],
  [`ghcr.io/acme/app@${IMAGE.digest}`, true],
  ['oci://ghcr.io/acme/app', true],
  ['https://ghcr.io/acme/app', true],
  ['pkg:oci/app?repository_url=ghcr.io/acme/app', true],
  [`pkg:oci/app@${IMAGE.digest.replace(':', '%3A')}?repository_url=ghcr.io/acme&tag=v1`, true],
  [`ghcr.io/acme/app@sha256:${'0'.repeat(64)}`, false],
  ['ghcr.io/acme/app/sub', false],
  ['ghcr.io.evil.example/acme/app', false],
  ['acme/app', false],
  ['pkg:oci/app', false],
  ['pkg:oci/app?repository_url=evil.example/acme/app', false],
  ['pkg:oci/app?repository_url=evil.example&repository_url=ghcr.io/acme', false],
  ['pkg:npm/app?repository_url=ghcr.io/acme', false],
]

for (const [uri, isImage] of ABOUT) {
  test(`${uri} is ${isImage ? '' : 'not '}about the image`, () => {
    assert.equal(judged(ASKED, summary({ resourceUri: uri })) === undefined, isImage)
  })
}

test('resourceUris and policies accept what they name', () => {
  const document = { ...ASKED, resourceUris: [{ pattern: 'ghcr\\.io/acme/.*' }] }
  assert.equal(judged(document, summary({ resourceUri: 'ghcr.io/acme/other' })), undefined)
  assert.equal(judged({ ...ASKED, policies: ['https://policies.example/app'] }, SUMMARY_V1), undefined)
})

test('verifiers and levels must be given', () => {
  for (const document of [
    { verifiers: VERIFIERS },
    { levels: ['x'] },
    { ...ASKED, levels: [] },
    { ...ASKED, x: 1 },
  ]) {
    assert.equal(vsaSchema.safeParse(document).success, false)
  }
})

test('nothing that a predicate can hold throws or passes without its verifier', () => {
  const parts = fc.dictionary(fc.constantFrom(...Object.keys(SUMMARY_V1)), fc.jsonValue())
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), parts), (predicate) => {
      assert.notEqual(judged(ASKED, predicate), undefined)
    }),
  )
})
