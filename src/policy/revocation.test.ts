import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { digestOf } from '../oci/digest.ts'
import type { EvidenceFailure, Verified } from '../verify/types.ts'
import { decide, enforce } from './decide.ts'
import { revokedBy } from './revocation.ts'
import { inRing } from './ring.ts'
import {
  AFTER,
  ALWAYS,
  at,
  BEFORE,
  builder,
  BUILDER,
  builtBy,
  DIGEST,
  DURING,
  exact,
  FORK,
  identity,
  IMAGE,
  ISSUER,
  key,
  keyed,
  keyless,
  NIGHT,
  OPS,
  provenance,
  RELEASE,
  revocation,
} from './testing/revocations.ts'
import type { Denial, Mode, Outcome, Policy, Revocation } from './types.ts'

type Case = readonly [name: string, denial: Denial, verified: readonly Verified[], found: RegExp | undefined]

const other = digestOf(Buffer.from('another image'))

const CASES: readonly Case[] = [
  [
    'the digest',
    { kind: 'digest', digest: DIGEST },
    [],
    /^digest sha256:[0-9a-f]{64}, which is revoked: the release/,
  ],
  ['another digest', { kind: 'digest', digest: other }, [keyless(RELEASE)], undefined],
  ['nothing that verifies', identity(undefined), [], undefined],
  [
    'the identity',
    identity(RELEASE),
    [keyless(RELEASE, [at(DURING)])],
    /^a signature by https:\/\/github\.com\/acme\/app\/.*, signed at 2026-11-17T20:00:00\.000Z, which is revoked: the release workflow was taken over$/,
  ],
  ['another identity', identity(RELEASE), [keyless(FORK)], undefined],
  ['the identity by another trust root', identity(RELEASE), [keyless(RELEASE, [], 'internal')], undefined],
  ['a key, where an identity is denied', identity(undefined), [keyed(OPS)], undefined],
  ['valid evidence first', identity(FORK), [keyless(RELEASE), keyed(OPS), keyless(FORK)], /mallory/],
  ['an attestation by the identity', identity(RELEASE), [builtBy(BUILDER)], /^an attestation by https:/],
  ['the key', key(OPS), [keyed(OPS)], /^a signature by key sha256:a+, with no verified time/],
  [
    'the key under another scheme',
    key(OPS),
    [{ ...keyed(OPS), signer: { kind: 'key', key: OPS, scheme: { hash: 'sha512' } } }],
    /by key/,
  ],
  ['another key', key(`sha256:${'b'.repeat(64)}`), [keyed(OPS)], undefined],
  [
    'the builder',
    builder(BUILDER),
    [builtBy(BUILDER)],
    /^provenance of builder https:.*github-hosted, with no/,
  ],
  [
    'the builder, whoever signed it',
    builder(BUILDER),
    [builtBy(BUILDER, keyed(OPS))],
    /^provenance of builder/,
  ],
  [
    'the builder in provenance v0.2',
    builder(BUILDER),
    [provenance(keyless(RELEASE), 'https://slsa.dev/provenance/v0.2', { builder: { id: BUILDER } })],
    /^provenance of builder/,
  ],
  [
    'another builder',
    builder(BUILDER),
    [builtBy('https://cloudbuild.googleapis.com/GoogleHostedWorker')],
    undefined,
  ],
  [
    'the builder in a statement that is no provenance',
    builder(BUILDER),
    [provenance(keyless(RELEASE), 'https://spdx.dev/Document', { runDetails: { builder: { id: BUILDER } } })],
    undefined,
  ],
  [
    'provenance that names no builder',
    builder(BUILDER),
    [provenance(keyed(OPS), 'https://slsa.dev/provenance/v1', [])],
    undefined,
  ],
  ['a moment before the window', identity(RELEASE, NIGHT), [keyless(RELEASE, [at(BEFORE)])], undefined],
  ['the first moment of the window', identity(RELEASE, NIGHT), [keyless(RELEASE, [at(DURING)])], /T20:00/],
  ['the first moment after the window', identity(RELEASE, NIGHT), [keyless(RELEASE, [at(AFTER)])], undefined],
  ['no time at all', identity(RELEASE, NIGHT), [keyless(RELEASE)], /no verified time/],
  ['no time at all, for a key', key(OPS, NIGHT), [keyed(OPS)], /no verified time/],
  [
    'a time after the window beside one in it',
    identity(RELEASE, NIGHT),
    [keyless(RELEASE, [at(AFTER), at(DURING)])],
    /T20:00/,
  ],
  [
    'a time in the window beside one before it: it was there before',
    key(OPS, NIGHT),
    [keyed(OPS, [at(DURING), at(BEFORE)])],
    undefined,
  ],
  [
    'the word of another root that it was before',
    key(OPS, NIGHT),
    [keyed(OPS, [at(BEFORE, 'internal')])],
    /no verified time/,
  ],
  [
    'open at its end',
    key(OPS, { ...NIGHT, until: undefined }),
    [keyed(OPS, [at('2030-01-01T00:00:00Z')])],
    /2030/,
  ],
  ['open at its beginning', key(OPS, { ...NIGHT, from: undefined }), [keyed(OPS, [at(BEFORE)])], /19:59/],
  [
    'one of several in the window',
    key(OPS, NIGHT),
    [keyed(OPS, [at(BEFORE)]), keyed(OPS, [at(DURING)])],
    /20:00/,
  ],
]

suite('what a revocation hits', () => {
  for (const [name, denial, verified, found] of CASES) {
    test(`${name}: ${found === undefined ? 'spared' : 'revoked'}`, () => {
      const [result, ...others] = revokedBy([revocation([denial])], { image: IMAGE, verified })
      assert.deepEqual(others, [])
      if (found === undefined) return assert.equal(result, undefined)
      const [reason] = result?.verdict.kind === 'violated' ? result.verdict.reasons : []
      assert.equal(reason?.code, 'revoked')
      assert.match(reason.found, found)
      assert.deepEqual([result?.policy, result?.mode, result?.stance], ['incident-7', 'enforce', 'closed'])
    })
  }

  test('one denial is enough, and all that hit are told', () => {
    const denials = [key(OPS), identity(FORK), identity(RELEASE)]
    const [result] = revokedBy([revocation(denials)], {
      image: IMAGE,
      verified: [keyless(RELEASE), keyed(OPS)],
    })
    assert.equal(result?.verdict.kind === 'violated' && result.verdict.reasons.length, 2)
  })

  test('one that is off in every ring says nothing', () => {
    const denial = { kind: 'digest', digest: DIGEST } as const
    assert.deepEqual(revokedBy([revocation([denial], 'off')], { image: IMAGE, verified: [] }), [])
    const canary = revocation([denial], 'off', ['canary', 'enforce'])
    assert.equal(revokedBy([canary], { image: IMAGE, verified: [] }).length, 1)
  })

  test('a name that somebody made very long does not push the reason out', () => {
    const long = `${RELEASE}${'x'.repeat(5000)}`
    const [result] = revokedBy([revocation([identity(long)])], { image: IMAGE, verified: [keyless(long)] })
    const [reason] = result?.verdict.kind === 'violated' ? result.verdict.reasons : []
    assert.match(reason?.found ?? '', /^.{0,220}taken over$/)
  })

  for (const kind of ['key', 'builder'] as const) {
    const denial = kind === 'key' ? key(OPS, NIGHT) : builder(BUILDER, NIGHT)
    test(`${kind}: nobody knows whether it is in the window while its trust root cannot be used`, () => {
      const cause = { dependency: 'trust', message: 'too old' } as const
      const known = { image: IMAGE, verified: [builtBy(BUILDER, keyed(OPS))] }
      const [result] = revokedBy([revocation([{ ...denial, timesUnavailable: cause }])], known)
      assert.deepEqual(result?.verdict, { kind: 'undetermined', causes: [cause] })
      const certain = [{ ...denial, timesUnavailable: cause }, { kind: 'digest', digest: DIGEST } as const]
      assert.equal(revokedBy([revocation(certain)], known)[0]?.verdict.kind, 'violated')
      const always = { ...denial, during: ALWAYS, timesUnavailable: cause }
      assert.equal(revokedBy([revocation([always])], known)[0]?.verdict.kind, 'violated')
    })
  }

  test('identity: what cannot be verified while its trust root cannot be used may be by whom is revoked', () => {
    const unavailable = { dependency: 'trust', message: 'too old' } as const
    const denial = identity(RELEASE)
    assert.ok(denial.kind === 'identity')
    const verdictWith = (failures: readonly EvidenceFailure[], verified: readonly Verified[]) =>
      revokedBy([revocation([{ ...denial, unavailable }])], { image: IMAGE, verified, failures })[0]?.verdict
    const failure = { source: keyed(OPS).source, code: 'certificate', message: 'of no root' } as const
    assert.deepEqual(verdictWith([failure], [keyed(OPS)]), { kind: 'undetermined', causes: [unavailable] })
    assert.equal(verdictWith([], [keyed(OPS)]), undefined)
    assert.equal(verdictWith([], [keyless(RELEASE)])?.kind, 'violated')
  })

  test('builder: provenance that is too large to be read may be of that builder', () => {
    const unread = provenance(keyed(OPS), 'https://slsa.dev/provenance/v1', undefined)
    const hits = (one: Verified) =>
      revokedBy([revocation([builder(BUILDER)])], { image: IMAGE, verified: [one] }).length
    assert.equal(hits(unread), 1)
    assert.equal(hits(provenance(keyed(OPS), 'https://spdx.dev/Document', undefined)), 0)
    assert.equal(hits(builtBy('https://other.example', keyed(OPS))), 0)
  })
})

suite('a revocation can only refuse', () => {
  const verified = fc.subarray([keyless(RELEASE, [at(DURING)]), keyless(FORK), keyed(OPS), builtBy(BUILDER)])
  const mode = fc.constantFrom<Mode>('off', 'observe', 'enforce')
  const during = fc.constantFrom(ALWAYS, NIGHT)
  const denial = fc.oneof(
    fc.constantFrom<Denial>({ kind: 'digest', digest: DIGEST }, { kind: 'digest', digest: other }),
    fc.tuple(fc.constantFrom(RELEASE, FORK, undefined), during).map((given) => identity(...given)),
    during.map((window) => key(OPS, window)),
    during.map((window) => builder(BUILDER, window)),
  )
  const revocations = fc.array(
    fc
      .tuple(fc.array(denial, { minLength: 1, maxLength: 3 }), mode, mode)
      .map(([denials, fallback, canary]) => revocation(denials, fallback, ['canary', canary])),
    { maxLength: 3 },
  )
  const policy = fc
    .record({ mode, canary: mode, subject: fc.constantFrom(RELEASE, FORK) })
    .map((given): Policy => ({
      name: 'signed',
      version: 'sha256:2',
      mode: given.mode,
      modes: { fallback: given.mode, byRing: new Map([['canary', given.canary]]) },
      stance: 'closed',
      runbook: undefined,
      rollout: undefined,
      matches: () => true,
      authorities: [
        {
          name: 'release',
          signer: {
            kind: 'keyless',
            trustRoot: 'public-good',
            identities: [{ issuer: exact(ISSUER), subject: exact(given.subject), extensions: [] }],
          },
          attestations: [],
          checks: [],
          maxAgeMs: undefined,
          unavailable: undefined,
        },
      ],
      requirement: { kind: 'authority', name: 'release' },
      origin: 'a.yaml:1',
    }))
  const world = fc.record({
    policies: fc.array(policy, { maxLength: 2 }),
    unmatched: mode,
    verified,
    missing: fc.subarray([{ dependency: 'registry', message: 'down' } as const]),
  })
  const STRICTNESS: readonly Outcome['kind'][] = ['serve', 'hold', 'refuse']
  const rest = { image: IMAGE, now: new Date(AFTER), failures: [], manifestReasons: [] }

  test('no set of them turns what is refused or held into anything laxer, in any ring', () => {
    fc.assert(
      fc.property(world, revocations, revocations, (known, some, more) => {
        for (const name of ['default', 'canary']) {
          const outcomeOf = (added: readonly Revocation[]): number => {
            const judgement = decide({ ...rest, ...known, revocations: added })
            const { kind } = enforce(inRing(judgement, { name, stanceLimit: undefined }))
            return STRICTNESS.indexOf(kind)
          }
          assert.ok(outcomeOf(some) >= outcomeOf([]), 'one that is added')
          assert.ok(outcomeOf([...some, ...more]) >= outcomeOf(some), 'others beside it')
        }
      }),
    )
  })

  test('more evidence never takes back what is revoked', () => {
    fc.assert(
      fc.property(verified, verified, revocations, (some, more, given) => {
        const hits = (found: readonly Verified[]) =>
          revokedBy(given, { image: IMAGE, verified: found }).map(({ policy: name }) => name)
        assert.ok(hits([...more, ...some]).length >= hits(some).length)
      }),
    )
  })
})
