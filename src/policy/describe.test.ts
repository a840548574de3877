import assert from 'node:assert/strict'
import { test } from 'node:test'
import { demandText, durationText, modesText, refusalText } from './describe.ts'
import { GITHUB, keyless, loaded, policy, PROVENANCE, RELEASE, revocation } from './testing/documents.ts'
import { KEY } from './testing/lint.ts'

type Json = Readonly<Record<string, unknown>>

function demandOf(spec: Json): string {
  const [entry] = loaded([policy('acme', spec)]).entries
  assert.ok(entry)
  return demandText(entry.policy)
}

const WHO = `${RELEASE} (issuer ${GITHUB})`
const signedBy = (name: string, subject: string): Json => keyless(name, { issuer: GITHUB, subject })
const three = ['a', 'b', 'c'].map((name) => signedBy(name, `${name}@acme.example`))
const threeTexts = ['a', 'b', 'c'].map(
  (name) => `a signature by ${name}@acme.example (issuer ${GITHUB}) of trust root public-good [${name}]`,
)

const DEMANDS: readonly { readonly name: string; readonly spec: Json; readonly text: string }[] = [
  { name: 'a signature', spec: {}, text: `a signature by ${WHO} of trust root public-good [release]` },
  {
    name: 'a signature that is young',
    spec: { authorities: [{ ...keyless('release'), maxAge: '36h' }] },
    text: `a signature by ${WHO} of trust root public-good, at most 36 hours old [release]`,
  },
  {
    name: 'attestations and what they must say',
    spec: {
      authorities: [
        {
          ...keyless('release'),
          attestations: [
            {
              name: 'provenance',
              predicateType: PROVENANCE,
              maxAge: '30d',
              slsa: {
                level: 2,
                builders: [{ id: RELEASE, level: 3 }],
                sources: ['https://github.com/acme/app'],
              },
            },
            { name: 'sbom', predicateType: 'spdx' },
          ],
        },
      ],
    },
    text:
      `a provenance attestation (${PROVENANCE}) by ${WHO} of trust root public-good, with builder ${RELEASE} (as level 3), ` +
      'SLSA Build level 2 and source https://github.com/acme/app, at most 30 days old and ' +
      'a sbom attestation (https://spdx.dev/Document) by the same [release]',
  },
  {
    name: 'an expression',
    spec: {
      authorities: [
        {
          ...keyless('vetting'),
          attestations: [
            {
              name: 'approved',
              predicateType: 'https://acme.example/approved/v1',
              expressions: [{ expression: 'statement.predicate.ok == true' }],
            },
          ],
        },
      ],
    },
    text: `an approved attestation (https://acme.example/approved/v1) by ${WHO} of trust root public-good, with expression statement.predicate.ok == true [vetting]`,
  },
  {
    name: 'a verification summary',
    spec: {
      authorities: [
        {
          ...keyless('verifier'),
          attestations: [
            {
              name: 'summary',
              predicateType: 'https://slsa.dev/verification_summary/v1',
              vsa: { verifiers: ['https://acme.example/verifier'], levels: ['SLSA_BUILD_LEVEL_3'] },
            },
          ],
        },
      ],
    },
    text:
      `a summary attestation (https://slsa.dev/verification_summary/v1) by ${WHO} of trust root public-good, with result PASSED, ` +
      'verifier https://acme.example/verifier, verified level SLSA_BUILD_LEVEL_3 and resource of this image [verifier]',
  },
  {
    name: 'a key that is looked up, and its log',
    spec: {
      authorities: [{ name: 'ops', key: { kms: 'awskms:///alias/ops', transparencyLog: 'required' } }],
    },
    text: 'a signature with key awskms:///alias/ops that is in a log of trust root public-good [ops]',
  },
  {
    name: 'either of two',
    spec: { authorities: three.slice(0, 2) },
    text: `either ${threeTexts[0]} or ${threeTexts[1]}`,
  },
  {
    name: 'any of three',
    spec: { authorities: three },
    text: `${threeTexts[0]}; ${threeTexts[1]}; or ${threeTexts[2]}`,
  },
  {
    name: 'a quorum',
    spec: { authorities: three, require: { threshold: 2 } },
    text: `2 of 3 by different signers: ${threeTexts.join('; ')}`,
  },
  {
    name: 'nested',
    spec: { authorities: three, require: { all: ['a', { any: ['b', 'c'] }] } },
    text: `both ${threeTexts[0]} and (either ${threeTexts[1]} or ${threeTexts[2]})`,
  },
  {
    name: 'a static refusal',
    spec: { authorities: [{ name: 'no', static: { action: 'fail', message: 'end of life' } }] },
    text: 'what cannot be had: no image passes (end of life) [no]',
  },
  {
    name: 'a static pass',
    spec: { authorities: [{ name: 'yes', static: { action: 'pass' } }] },
    text: 'nothing: every image passes [yes]',
  },
]

for (const { name, spec, text } of DEMANDS) {
  test(`demand: ${name}`, () => assert.equal(demandOf(spec), text))
}

test('a key is told by the beginning of its id, with its window', () => {
  const text = demandOf({ authorities: [{ name: 'ops', key: { data: KEY, validUntil: '2026-05-31' } }] })
  assert.match(
    text,
    /^a signature with key sha256:[0-9a-f]{16} \(counts for what was signed until 2026-05-31T00:00:00\.000Z\) \[ops\]$/,
  )
})

test('a revocation says all that it refuses', () => {
  const digest = `sha256:${'ab'.repeat(32)}`
  const deny = [
    { digest },
    { identity: { issuer: GITHUB, subject: RELEASE }, signedFrom: '2026-01-01', signedUntil: '2026-02-01' },
    { builder: 'https://ci.example/builder' },
  ]
  const [entry] = loaded([revocation('leak', deny)]).revocations
  assert.ok(entry)
  assert.equal(
    refusalText(entry.revocation),
    `the image ${digest}, whatever is signed by ${WHO} of trust root public-good, signed from 2026-01-01T00:00:00.000Z ` +
      'until 2026-02-01T00:00:00.000Z or at a time that nobody vouches for or whatever was built by https://ci.example/builder',
  )
})

test('modes: the rings that differ', () => {
  const byRing = new Map([
    ['prod', 'observe'],
    ['canary', 'enforce'],
  ] as const)
  assert.equal(modesText({ fallback: 'observe', byRing }), 'observe; in ring canary enforce')
})

test('durations in the largest unit that divides them', () => {
  assert.deepEqual([86_400_000, 5_400_000, 1_500].map(durationText), [
    '1 day',
    '90 minutes',
    '1500 milliseconds',
  ])
})
