import assert from 'node:assert/strict'
import test from 'node:test'
import { loadPolicies } from './load.ts'
import { problemText } from './problem.ts'

/** What an authority or a requirement may not say: nothing that is written is ignored. */

const HEAD = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: acme }
spec:
  images: [{ glob: ghcr.io/acme/** }]
`
const CI = `  authorities: [{ name: ci, keyless: { identities: [{ issuer: https://i.example, subject: a@x.example }] } }]\n`

function problems(spec: string): readonly string[] {
  const result = loadPolicies({
    files: [{ path: 'acme.yaml', text: HEAD + spec }],
    trustRoots: new Set(['public-good']),
    keySets: new Set(['release']),
    rings: new Set(['default', 'canary']),
    defaultMode: 'enforce',
    unmatched: 'observe',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  return result.ok ? [] : result.problems.map(problemText)
}

const authority = (fields: string): string => `  authorities: [{ name: a, ${fields} }]\n`
const identity = (fields: string): string => authority(`keyless: { identities: [{ ${fields} }] }`)
const key = (fields: string): string => authority(`key: { ${fields} }`)
const KMS = 'kms: awskms:///alias/release'
const ATTESTED = 'attestations: [{ name: p, predicateType: spdx }]'

const FAULTS: readonly (readonly [name: string, spec: string, problem: RegExp])[] = [
  ...['9ms', '301s', '0', '800'].map(
    (budget) =>
      [
        `a budget of ${budget}`,
        `  verifyBudget: ${JSON.stringify(budget)}\n${CI}`,
        /verifyBudget: .*expected a duration from 10ms to 5m/,
      ] as const,
  ),
  [
    'nobody',
    authority('keyless: { trustRoot: public-good }'),
    /keyless: found nothing that says who may sign/,
  ],
  [
    'somebody and anybody',
    authority(
      'keyless: { unsafeAnyIdentity: true, identities: [{ issuer: https://i.example, subject: a@x.example }] }',
    ),
    /keyless: found identities and unsafeAnyIdentity, expected only one of them/,
  ],
  [
    'anybody, unsaid',
    authority('keyless: { unsafeAnyIdentity: false }'),
    /unsafeAnyIdentity: found false, expected true/,
  ],
  [
    'an unknown extension',
    identity('issuer: https://i.example, extensions: { sourceRepositoryUri: https://x.example }'),
    /extensions\.sourceRepositoryUri: unknown key, did you mean sourceRepositoryURI\?/,
  ],
  [
    'an extension of another type',
    identity('issuer: https://i.example, extensions: { sourceRepositoryURI: 5 }'),
    /extensions\.sourceRepositoryURI: found 5, expected a string or a mapping/,
  ],
  [
    'a misspelled pattern',
    identity('issuer: https://i.example, extensions: { sourceRepositoryURI: { patern: x } }'),
    /extensions\.sourceRepositoryURI\.patern: unknown key, did you mean pattern\?/,
  ],
  [
    'a window of a key set',
    key('keySet: release, validFrom: 2027-01-01'),
    /key\.validFrom: found validFrom, which has no effect here; the key set gives/,
  ],
  [
    'a window that ends before it begins',
    key(`${KMS}, validFrom: 2027-01-01, validUntil: 2026-12-31T23:00:00Z`),
    /key\.validUntil: found no time between validFrom and validUntil/,
  ],
  [
    'a day that is none',
    key(`${KMS}, validFrom: 2027-02-30`),
    /key\.validFrom: found "2027-02-30", expected a date/,
  ],
  [
    'a window whose times nobody vouches for',
    key(`${KMS}, validFrom: 2027-01-01, trustRoot: other`),
    /key\.trustRoot: found "other", expected a trust root of the configuration: public-good/,
  ],
  [
    'a trust root that is asked for nothing',
    key(`${KMS}, trustRoot: public-good`),
    /key\.trustRoot: found trustRoot, which has no effect here; add transparencyLog: required, validFrom/,
  ],
  [
    'a static authority that asks for attestations',
    authority(`static: { action: fail }, ${ATTESTED}`),
    /authorities\[0\]\.attestations: found attestations, which has no effect beside static/,
  ],
  [
    'a static authority with an age',
    authority('static: { action: pass }, maxAge: 3d'),
    /authorities\[0\]\.maxAge: found maxAge, which has no effect beside static/,
  ],
  [
    'a message that nobody is shown',
    authority('static: { action: pass, message: hello }'),
    /static\.message: found message, which nobody is shown with action: pass/,
  ],
  [
    'a static authority that also signs',
    authority(`static: { action: pass }, key: { ${KMS} }`),
    /found key and static/,
  ],
  [
    'an age of a signature that nobody asks for',
    authority(`key: { ${KMS} }, maxAge: 3d, ${ATTESTED}`),
    /authorities\[0\]\.maxAge: found maxAge, which has no effect beside attestations/,
  ],
  [
    'an expression over a signature that nobody asks for',
    authority(`key: { ${KMS} }, expressions: [{ expression: 'true' }], ${ATTESTED}`),
    /authorities\[0\]\.expressions: found expressions, which has no effect beside attestations/,
  ],
  [
    'an age without a unit',
    authority(`key: { ${KMS} }, maxAge: 30`),
    /maxAge: found 30, expected a duration from 1s/,
  ],
  ['no age at all', authority(`key: { ${KMS} }, maxAge: 0d`), /maxAge: .*expected a duration from 1s/],
  [
    'SLSA of a bill of materials',
    authority(`key: { ${KMS} }, attestations: [{ name: p, predicateType: spdx, slsa: { level: 1 } }]`),
    /attestations\[0\]\.slsa: found slsa for predicate type https:\/\/spdx\.dev\/Document/,
  ],
  [
    'an expression that is none',
    authority(`key: { ${KMS} }, expressions: [{ expression: '1 +' }]`),
    /expressions\[0\]/,
  ],
  [
    'a ring that is none',
    `${CI}  rings: { canari: enforce }\n`,
    /rings\.canari: found "canari", expected a ring .*canary/,
  ],
  [
    'a mode of a ring that is none',
    `${CI}  rings: { canary: on }\n`,
    /rings\.canary: found "on", expected off or/,
  ],
  [
    'a rollout of half a day',
    `${CI}  rollout: { minDays: 0.5 }\n`,
    /rollout\.minDays: found 0\.5, expected a whole/,
  ],
  ['a rollout of less than nothing', `${CI}  rollout: { minPulls: -1 }\n`, /rollout\.minPulls: .*at least 0/],
  ['a requirement that is a name', `${CI}  require: ci\n`, /require: found "ci", expected a mapping/],
  [
    'a part that is no name',
    `${CI}  require: { any: [5] }\n`,
    /require\.any\[0\]: found 5, expected a string or a map/,
  ],
  [
    'an unknown authority',
    `${CI}  require: { any: [cd] }\n`,
    /require\.any\[0\]: found "cd", expected an authority/,
  ],
  [
    'an empty part',
    `${CI}  require: { any: [ci, {}] }\n`,
    /require\.any\[1\]: found none, expected exactly one of any, all, threshold/,
  ],
  [
    'more than there are',
    `${CI}  require: { threshold: 2 }\n`,
    /require\.threshold: found 2, expected at most 1/,
  ],
]

for (const [name, spec, problem] of FAULTS) {
  test(`does not load: ${name}`, () => {
    assert.match(problems(spec).join('\n'), problem)
  })
}

test('a requirement without end does not load', () => {
  const deep = `${'{ any: ['.repeat(5000)}ci${'] }'.repeat(5000)}`
  assert.equal(problems(`${CI}  require: ${deep}\n`).length, 1)
})

const SOUND: readonly (readonly [name: string, spec: string])[] = [
  ['anybody, in so many words', authority('keyless: { unsafeAnyIdentity: true }')],
  [
    'an extension that names somebody',
    identity('issuer: https://i.example, extensions: { sourceRepositoryOwnerIdentifier: "42" }'),
  ],
  ['a window with one end', key(`${KMS}, validUntil: 2027-01-01`)],
  ['a trust root for an age', authority(`key: { ${KMS}, trustRoot: public-good }, maxAge: 30d`)],
  [
    'a trust root for the age of an attestation',
    authority(
      `key: { ${KMS}, trustRoot: public-good }, attestations: [{ name: p, predicateType: spdx, maxAge: 30d }]`,
    ),
  ],
  [
    'a ring and criteria',
    `${CI}  rings: { canary: observe, default: off }\n  rollout: { minDays: 14, maxWouldBlocks: 0 }\n`,
  ],
  ['criteria by default', `${CI}  rollout: {}\n`],
]

for (const [name, spec] of SOUND) test(`loads: ${name}`, () => assert.deepEqual(problems(spec), []))
