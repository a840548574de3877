import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { builtBy, keyless, FORK, RELEASE } from '../policy/testing/revocations.ts'
import {
  digest,
  imagesIn,
  longDigest,
  NOW,
  PROVENANCE,
  replayed,
  REVOKED,
  signedBy,
  type World,
} from './testing/replayed.ts'
import { replayText } from './text.ts'

describe('policies judged over what was pulled', () => {
  const signed = { a: [keyless(RELEASE)] }
  const CASES: readonly {
    name: string
    before: string
    after: string
    world: World
    counts: Readonly<Record<string, number>>
  }[] = [
    {
      name: 'the same policies change nothing',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE),
      world: { seen: [{}], found: signed },
      counts: { same: 1 },
    },
    {
      name: 'a signer who may sign no longer',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}], found: signed },
      counts: { refused: 1 },
    },
    {
      name: 'a signer who may sign from now on',
      before: signedBy(FORK),
      after: signedBy(RELEASE),
      world: { seen: [{}], found: signed },
      counts: { admitted: 1 },
    },
    {
      name: 'provenance that one image has and the other has not',
      before: signedBy(RELEASE),
      after: PROVENANCE,
      world: {
        seen: [{}, { digest: digest('b') }],
        found: { a: [keyless(RELEASE), builtBy('x')], b: [keyless(RELEASE)] },
      },
      counts: { refused: 1, same: 1 },
    },
    {
      name: 'a stricter mode in one ring',
      before: signedBy(FORK, '  rings: {canary: observe}'),
      after: signedBy(FORK),
      world: { seen: [{}, { ring: 'canary' }], found: signed },
      counts: { same: 1, refused: 1 },
    },
    {
      name: 'observe: a warning is no refusal',
      before: signedBy(RELEASE),
      after: signedBy(FORK, '  rings: {default: observe}'),
      world: { seen: [{}], found: signed },
      counts: { warned: 1 },
    },
    {
      name: 'a revocation',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('a')),
      world: { seen: [{}], found: signed },
      counts: { refused: 1 },
    },
    {
      name: 'a revocation of an image that is pulled by another digest',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('a')),
      world: { seen: [{ digest: longDigest('a') }], found: signed, kept: ['a'] },
      counts: { refused: 1 },
    },
    {
      name: 'a revocation of another image than the one that is pulled by another digest',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('b')),
      world: { seen: [{ digest: longDigest('a') }], found: signed, kept: ['a', 'b'] },
      counts: { same: 1 },
    },
    {
      name: 'a revocation that may be of an image whose bytes are gone: nothing is claimed',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('a')),
      world: { seen: [{ digest: longDigest('a') }], found: signed },
      counts: { unknown: 1 },
    },
    {
      name: 'an image that is pulled by another digest, its bytes gone, and none is revoked by digest',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{ digest: longDigest('a') }], found: signed },
      counts: { refused: 1 },
    },
    {
      name: 'a child that only its index covers fares as the index does',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{ digest: digest('child') }], found: signed, parents: { child: digest('a') } },
      counts: { refused: 1 },
    },
    {
      name: 'a child whose manifest cannot be served, under an index that is satisfied',
      before: signedBy(FORK),
      after: signedBy(RELEASE),
      world: {
        seen: [{ digest: digest('child') }],
        found: { ...signed, child: [] },
        guilty: ['child'],
        parents: { child: digest('a') },
      },
      counts: { same: 1 },
    },
    {
      name: 'an index that is refused itself covers nothing, not even what it satisfies',
      before: signedBy(FORK),
      after: `${signedBy(FORK)}---\n${signedBy(RELEASE).replace('acme}', 'beside}')}`,
      world: {
        seen: [{ digest: digest('child') }],
        found: { ...signed, child: [keyless(FORK)] },
        parents: { child: digest('a') },
      },
      counts: { refused: 1 },
    },
    {
      name: 'an index that only some ring is served covers in part',
      before: signedBy(FORK, '  rings: {canary: observe}'),
      after: `${signedBy(FORK, '  rings: {canary: observe}')}---\n${signedBy(RELEASE).replace('acme}', 'beside}')}`,
      world: {
        seen: [{ digest: digest('child') }],
        found: { ...signed, child: [keyless(FORK)] },
        parents: { child: digest('a') },
      },
      counts: { same: 1 },
    },
    {
      name: 'a revoked child under an index that is satisfied',
      before: signedBy(RELEASE),
      after: signedBy(RELEASE) + REVOKED(digest('child')),
      world: { seen: [{ digest: digest('child') }], found: signed, parents: { child: digest('a') } },
      counts: { refused: 1 },
    },
    {
      name: 'nothing kept: nothing is claimed',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}] },
      counts: { unknown: 1 },
    },
    {
      name: 'verified under other trust, and the evidence is gone',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}], found: signed, trusted: '' },
      counts: { unknown: 1 },
    },
    {
      name: 'unsigned under whatever trust',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{}], found: { a: [] }, trusted: '' },
      counts: { otherwise: 1 },
    },
    {
      name: 'evidence, which no policy is asked about',
      before: signedBy(RELEASE),
      after: signedBy(FORK),
      world: { seen: [{ results: [] }] },
      counts: { same: 1 },
    },
  ]
  for (const { name, before, after, world, counts } of CASES) {
    it(name, async () => {
      assert.deepEqual(imagesIn(await replayed(before, after, world)), counts)
    })
  }

  it('is told in words: what, for whom, how often, and why', async () => {
    const seen = [
      { pulls: 400, ring: 'default', tags: ['v1.4.2'] },
      { pulls: 12, ring: 'canary', tags: ['v1.4.2'] },
      { pulls: 3, digest: digest('b'), tags: ['v1.4.3\u001b[2J'] },
    ]
    const report = await replayed(signedBy(RELEASE), PROVENANCE, {
      seen,
      found: { a: [keyless(RELEASE)], b: [keyless(RELEASE), builtBy('x')] },
    })
    const title = { since: new Date('2026-10-23'), before: 'now/', after: 'new/', seconds: 0.5 }
    const text = replayText(report, title, { now: NOW, isAll: false })
    assert.match(text, /^3 images in 415 pulls since 2026-10-23, judged again without the network in 0\.5 s/)
    assert.match(text, /2 images in 412 pulls would be refused, and are not now:/)
    assert.match(text, /412 pulls \(default 400, canary 12\), last 2 d ago, tags v1\.4\.2/)
    assert.match(
      text,
      /acme: release: found a signature but no attestation, expected a provenance attestation/,
    )
    assert.match(text, /1 images in 3 pulls: no change/)
    assert.ok(!text.includes('\u001b'))
  })
})
