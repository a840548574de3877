import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { convert, newPem } from '../../testing/foreign-policies.ts'
import { readValidation } from './validation.ts'

const A = newPem()

describe('ImageValidatingPolicy', () => {
  const SIGNED = 'images.containers.map(image, verifyImageSignatures(image, [attestors.a])).all(e, e > 0)'
  const policy = (
    validations: readonly string[],
    more = '',
    attestors = `[{name: a, cosign: {key: {data: ${JSON.stringify(A)}}}}, {name: b, cosign: {keyless: {identities: [{issuer: "https://i.example", subject: s}]}}}]`,
  ): unknown => ({
    apiVersion: 'policies.kyverno.io/v1beta1',
    kind: 'ImageValidatingPolicy',
    metadata: { name: 'signed' },
    spec: {
      ...(parse(
        `{attestors: ${attestors}, attestations: [{name: slsa, intoto: {type: "https://slsa.dev/provenance/v1"}}]${more}}`,
      ) as object),
      validations: validations.map((expression) => ({ expression })),
    },
  })

  it('a signature, of every image', () => {
    const { specs, refusals } = convert(policy([SIGNED]))
    assert.deepEqual(refusals, [])
    assert.deepEqual(specs, [
      {
        mode: 'enforce',
        images: [{ glob: '**' }],
        authorities: [{ name: 'a', key: { data: A, transparencyLog: 'required', trustRoot: 'public-good' } }],
      },
    ])
  })

  it('signatures and an attestation', () => {
    const { specs, refusals } = convert(
      policy(
        [
          'images.containers.map(i, verifyImageSignatures(i, [attestors.a, attestors.b])).all(e, e > 0)',
          SIGNED,
          'images.containers.map(image, verifyAttestationSignatures(image, attestations.slsa, [attestors.b])).all(e, e >= 1)',
        ],
        ', validationActions: [Audit]',
      ),
    )
    assert.deepEqual(refusals, [])
    assert.equal(specs[0]?.['mode'], 'observe')
    assert.deepEqual(specs[0]['require'], { all: [{ any: ['a', 'b'] }, 'a', 'b-slsa'] })
    assert.equal((specs[0]['authorities'] as unknown[]).length, 3)
  })

  it('a payload, where that is accepted', () => {
    const validations = [
      'images.containers.map(image, verifyAttestationSignatures(image, attestations.slsa, [attestors.b])).all(e, e > 0)',
      'images.containers.map(image, extractPayload(image, attestations.slsa).predicate.x == 1).all(e, e)',
    ]
    assert.match(
      convert(policy(validations)).refusals.join('\n'),
      /validations\[1\]\.expression: .*statement\.predicate\.x == 1.*--accept one-attestation/,
    )
    const { specs } = convert(policy(validations, ', matchImageReferences: [{glob: "ghcr.io/*"}]'), {
      accept: ['one-attestation', 'other-images'],
    })
    assert.match(
      JSON.stringify(specs),
      /"glob":"ghcr\.io\/\*\*".*"expression":"statement\.predicate\.x == 1"/,
    )
  })

  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    [
      'other images',
      policy([SIGNED], ', matchImageReferences: [{glob: "ghcr.io/*"}]'),
      /matchImageReferences: .*there it denies them.*--accept other-images/,
    ],
    [
      'a namespace',
      { ...(policy([SIGNED]) as object), kind: 'NamespacedImageValidatingPolicy' },
      /^kind: .*one namespace/,
    ],
    ['conditions on resources', policy([SIGNED], ', matchConditions: []'), /matchConditions: /],
    ['selectors', policy([SIGNED], ', matchConstraints: {namespaceSelector: {}}'), /matchConstraints: /],
    [
      'digests only',
      policy([SIGNED], ', validationConfigurations: {mutateDigest: false}'),
      /turns images by tag away/,
    ],
    ['Notary', policy([SIGNED], '', '[{name: a, notary: {certs: {}}}]'), /\.notary: /],
    ['a certificate', policy([SIGNED], '', '[{name: a, cosign: {certificate: {}}}]'), /\.certificate: /],
    [
      'fields that nobody compares',
      policy([SIGNED], '', '[{name: a, cosign: {keyless: {identities: [], additionalExtensions: {}}}}]'),
      /never compares/,
    ],
    [
      'no log',
      policy(
        [SIGNED],
        '',
        '[{name: a, cosign: {keyless: {identities: [{issuer: a, subject: b}]}, ctlog: {insecureIgnoreTlog: true}}}]',
      ),
      /insecureIgnoreTlog: /,
    ],
    [
      'an unknown attestor',
      policy(['images.containers.map(i, verifyImageSignatures(i, [attestors.x])).all(e, e > 0)']),
      /is not declared/,
    ],
    [
      'another expression',
      policy(['images.containers.all(i, i.contains("@"))']),
      /more than can be converted/,
    ],
    [
      'a payload that nobody signed',
      policy(['images.containers.map(i, extractPayload(i, attestations.slsa).predicate.x == 1).all(e, e)']),
      /no validation verifies|one attestation/,
    ],
    ['nothing', policy([]), /validations: found none/],
    ['an unknown action', policy([SIGNED], ', validationActions: [Ask]'), /validationActions: /],
  ]
  for (const [name, value, refusal] of refused) {
    it(`${name}: refused`, () => {
      const { specs, refusals } = convert(value)
      assert.deepEqual(specs, [])
      assert.ok(
        refusals.some((one) => refusal.test(one)),
        refusals.join('\n'),
      )
    })
  }

  const expressions: readonly (readonly [string, unknown])[] = [
    [SIGNED, { kind: 'signature', attestors: ['a'], needed: 1 }],
    [
      'images.x.map(i, verifyImageSignatures(i, [attestors.a, attestors.b])).all(n, n == 2)',
      { kind: 'signature', attestors: ['a', 'b'], needed: 2 },
    ],
    ['images.x.map(i, verifyImageSignatures(i, [attestors.a, attestors.b])).all(n, n == 1)', undefined],
    ['images.x.map(i, verifyImageSignatures(i, [attestors.a])).all(n, n > 1)', undefined],
    ['images.x.map(i, verifyImageSignatures(i, [attestors.a])).all(n, n >= 0)', undefined],
    ['images.x.map(i, verifyImageSignatures(j, [attestors.a])).all(n, n > 0)', undefined],
    ['images.x.map(i, verifyImageSignatures(i, [attestors.a]) > 0 || true).all(e, e)', undefined],
    ['images.x.map(i, extractPayload(i, attestations.s).a == i.name).all(e, e)', undefined],
    ['images.x.map(i, extractPayload(i, attestations.s).a == 1 && variables.b).all(e, e)', undefined],
  ]
  for (const [text, expected] of expressions) {
    it(`reads ${text}`, () => assert.deepEqual(readValidation(text), expected))
  }
})
