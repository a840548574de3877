import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { convert, newPem } from '../../testing/foreign-policies.ts'

const [A, B, C] = [newPem(), newPem(), newPem()]
const key = (pem: string, more = 'rekor: {url: "https://rekor.sigstore.dev", ignoreTlog: true}') =>
  `{keys: {publicKeys: ${JSON.stringify(pem)}, ${more}}}`
const WHO =
  '{keyless: {issuer: "https://i.example", subject: "s@acme.example", rekor: {url: "https://rekor.sigstore.dev"}}}'
const KEYLESS = {
  keyless: {
    trustRoot: 'public-good',
    identities: [{ issuer: 'https://i.example', subject: 's@acme.example' }],
  },
}

function rule(entry: string, beside = ''): unknown {
  const match = 'match: {any: [{resources: {kinds: [Pod]}}]}'
  return parse(
    `{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: signed}, spec: {rules: [{name: check, ${beside === '' ? match : beside}, verifyImages: [${entry}]}]}}`,
  )
}

const of = (attestors: string, more = '') =>
  rule(`{imageReferences: ["ghcr.io/acme/*"], failureAction: Enforce, attestors: ${attestors}${more}}`)

describe('verifyImages of a ClusterPolicy', () => {
  const cases: readonly (readonly [
    name: string,
    attestors: string,
    authorities: object[],
    require: unknown,
  ])[] = [
    ['a key', `[{entries: [${key(A)}]}]`, [{ name: 'signer-1', key: { data: A } }], undefined],
    [
      'a logged key',
      `[{entries: [${key(A, 'signatureAlgorithm: sha512')}]}]`,
      [
        {
          name: 'signer-1',
          key: { data: A, hashAlgorithm: 'sha512', transparencyLog: 'required', trustRoot: 'public-good' },
        },
      ],
      undefined,
    ],
    ['an identity', `[{entries: [${WHO}]}]`, [{ name: 'signer-1', ...KEYLESS }], undefined],
    [
      'all of two',
      `[{entries: [${key(A)}, ${key(B)}]}]`,
      [
        { name: 'signer-1', key: { data: A } },
        { name: 'signer-2', key: { data: B } },
      ],
      { all: ['signer-1', 'signer-2'] },
    ],
    [
      'any of two',
      `[{count: 1, entries: [${key(A)}, ${WHO}]}]`,
      [
        { name: 'signer-1', key: { data: A } },
        { name: 'signer-2', ...KEYLESS },
      ],
      { any: ['signer-1', 'signer-2'] },
    ],
    [
      'two of three, in one text',
      `[{count: 2, entries: [${key(A + B + C)}]}]`,
      [A, B, C].map((data, index) => ({ name: `signer-1-${index + 1}`, key: { data } })),
      { threshold: 2, of: ['signer-1-1', 'signer-1-2', 'signer-1-3'] },
    ],
    [
      'two sets',
      `[{entries: [${key(A)}]}, {count: 1, entries: [${key(B)}, {attestor: {entries: [${key(C)}, ${WHO}]}}]}]`,
      [
        { name: 'signer-1-1', key: { data: A } },
        { name: 'signer-2-1', key: { data: B } },
        { name: 'signer-2-2-1', key: { data: C } },
        { name: 'signer-2-2-2', ...KEYLESS },
      ],
      { all: ['signer-1-1', { any: ['signer-2-1', { all: ['signer-2-2-1', 'signer-2-2-2'] }] }] },
    ],
  ]
  for (const [name, attestors, authorities, require] of cases) {
    it(name, () => {
      const { specs, refusals, names } = convert(of(attestors))
      assert.deepEqual(refusals, [])
      assert.deepEqual(names, ['signed-check'])
      const expected = { mode: 'enforce', images: [{ glob: 'ghcr.io/acme/**' }], authorities }
      assert.deepEqual(specs, [require === undefined ? expected : { ...expected, require }])
    })
  }

  const identities: readonly (readonly [string, string, object])[] = [
    [
      'wildcards',
      'issuer: "https://i.example", subject: "https://github.com/acme/*"',
      { issuer: 'https://i.example', subjectPattern: 'https://github\\.com/acme/.*' },
    ],
    [
      'regular expressions',
      'issuerRegExp: "^https://i[.]example$", subjectRegExp: acme',
      { issuerPattern: 'https://i[.]example', subjectPattern: '.*acme.*' },
    ],
    [
      'extensions',
      'issuer: "https://i.example", subject: s, additionalExtensions: {githubWorkflowSha: "abc*", githubWorkflowRef: main}',
      {
        issuer: 'https://i.example',
        subject: 's',
        extensions: { githubWorkflowSHA: { pattern: 'abc.*' }, githubWorkflowRef: 'main' },
      },
    ],
  ]
  for (const [name, written, identity] of identities) {
    it(`an identity with ${name}`, () => {
      const { specs, refusals } = convert(of(`[{entries: [{keyless: {${written}}}]}]`))
      assert.deepEqual(refusals, [])
      assert.deepEqual(specs[0]?.['authorities'], [
        { name: 'signer-1', keyless: { trustRoot: 'public-good', identities: [identity] } },
      ])
    })
  }

  it('anybody', () => {
    const { specs } = convert(of('[{entries: [{keyless: {issuer: "*", subject: "*"}}]}]'))
    assert.deepEqual(specs[0]?.['authorities'], [
      { name: 'signer-1', keyless: { trustRoot: 'public-good', unsafeAnyIdentity: true } },
    ])
  })

  const attested = (conditions = '') =>
    rule(
      `{imageReferences: ["ghcr.io/acme/*"], attestors: [{entries: [${key(A)}]}], attestations: [{type: "https://p.example", attestors: [{count: 1, entries: [${key(B)}, ${key(C)}]}]${conditions}}]}`,
    )

  it('attestations beside signatures, and Audit where nothing is said', () => {
    const { specs, refusals } = convert(attested())
    assert.deepEqual(refusals, [])
    const attestations = [{ name: 'attestation-1', predicateType: 'https://p.example' }]
    assert.deepEqual(specs, [
      {
        mode: 'observe',
        images: [{ glob: 'ghcr.io/acme/**' }],
        authorities: [
          { name: 'signer-1', key: { data: A } },
          { name: 'attestor-1-1', key: { data: B }, attestations },
          { name: 'attestor-1-2', key: { data: C }, attestations },
        ],
        require: { all: ['signer-1', { any: ['attestor-1-1', 'attestor-1-2'] }] },
      },
    ])
  })

  const CONDITIONS = ', conditions: [{all: [{key: "{{ a.b }}", operator: Equals, value: x}]}]'

  it('conditions, of which all attestations must be, are refused', () => {
    assert.match(
      convert(attested(CONDITIONS)).refusals.join('\n'),
      /attestations\[0\]\.conditions: cannot be enforced the same.*expression: "statement\.predicate\.a\.b == \\"x\\"".*--accept one-attestation/,
    )
  })

  it('and are expressions where that is accepted', () => {
    const { specs, refusals, notes } = convert(attested(CONDITIONS), { accept: ['one-attestation'] })
    assert.deepEqual(refusals, [])
    assert.match(
      JSON.stringify(specs),
      /"expressions":\[\{"expression":"statement\.predicate\.a\.b == \\"x\\""\}\]/,
    )
    assert.ok(notes.some((one) => one.startsWith('accepted: one attestation')))
  })

  it('an attestation of whomever', () => {
    const { specs } = convert(
      rule('{imageReferences: ["ghcr.io/*"], attestations: [{type: "https://p.example"}]}'),
    )
    assert.match(JSON.stringify(specs), /"unsafeAnyIdentity":true.*"predicateType":"https:\/\/p\.example"/)
  })

  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    ['a Policy', { ...(of(`[{entries: [${WHO}]}]`) as object), kind: 'Policy' }, /^kind: .*one namespace/],
    [
      'a selector',
      rule('{imageReferences: ["*"]}', 'match: {any: [{resources: {kinds: [Pod], namespaces: [a]}}]}'),
      /rules\[0\]\.match: .*Kubernetes resources/,
    ],
    [
      'exclude',
      rule('{imageReferences: ["*"]}', 'match: {any: [{resources: {kinds: [Pod]}}]}, exclude: {}'),
      /\.exclude: /,
    ],
    [
      'preconditions',
      rule('{imageReferences: ["*"]}', 'match: {any: [{resources: {kinds: [Pod]}}]}, preconditions: {}'),
      /\.preconditions: /,
    ],
    [
      'no rule',
      parse(
        '{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: a}, spec: {rules: [{name: b, validate: {}}]}}',
      ),
      /no rule with verifyImages/,
    ],
    [
      'skipped references',
      of(`[{entries: [${WHO}]}]`, ', skipImageReferences: [a]'),
      /\.skipImageReferences: .*no glob leaves anything out/,
    ],
    ['deny', of(`[{entries: [${WHO}]}]`, ', validate: {deny: {}}'), /\.validate: .*several attestations/],
    ['Notary', of(`[{entries: [${WHO}]}]`, ', type: Notary'), /\.type: found "Notary"/],
    ['digests only', of(`[{entries: [${WHO}]}]`, ', mutateDigest: false'), /turns images by tag away/],
    ['the old fields', rule('{image: "*", key: a}'), /\.key: .*Kyverno has replaced/],
    ['nothing to verify', rule('{imageReferences: ["*"]}'), /nothing is verified/],
    [
      'another action',
      rule(`{imageReferences: ["*"], failureAction: Ask, attestors: [{entries: [${WHO}]}]}`),
      /\.failureAction: found "ask"/,
    ],
    ['no entries', of('[{entries: []}]'), /\.entries: found none/],
    ['too high a count', of(`[{count: 3, entries: [${WHO}]}]`), /\.count: found no count/],
    [
      'a count that one signer may fulfil',
      of(`[{count: 2, entries: [${WHO}, ${WHO}, ${key(A)}]}]`),
      /one signer may fulfil several/,
    ],
    ['two kinds', of(`[{entries: [{keys: {publicKeys: x}, keyless: {}}]}]`), /found keys and keyless/],
    [
      'sets without end',
      of(`[${'{entries: [{attestor: '.repeat(8)}{}${'}]}'.repeat(8)}]`),
      /nested too deep/,
    ],
    ['certificates', of('[{entries: [{certificates: {cert: x}}]}]'), /\.certificates: .*openssl/],
    ['annotations', of(`[{entries: [{annotations: {a: b}, keyless: {}}]}]`), /\.annotations: .*not compared/],
    ['a secret', of('[{entries: [{keys: {secret: {name: a}}}]}]'), /\.secret: /],
    [
      'a variable',
      of('[{entries: [{keys: {publicKeys: "{{ a.b }}"}}]}]'),
      /found a variable in place of a key/,
    ],
    ['roots', of('[{entries: [{keyless: {issuer: a, subject: b, roots: x}}]}]'), /\.roots: .*trust\.roots/],
    [
      'no SCT',
      of('[{entries: [{keyless: {issuer: a, subject: b, ctlog: {ignoreSCT: true}}}]}]'),
      /\.ignoreSCT: /,
    ],
    [
      'no log',
      of(
        '[{entries: [{keyless: {issuer: a, subject: b, rekor: {url: "https://rekor.sigstore.dev", ignoreTlog: true}}}]}]',
      ),
      /\.ignoreTlog: /,
    ],
    [
      'another log',
      of(`[{entries: [${key(A, 'rekor: {url: "https://rekor.local"}')}]}]`),
      /\.rekor\.url: .*--trust-root/,
    ],
    [
      'no subject',
      of('[{entries: [{keyless: {issuer: "https://i.example"}}]}]'),
      /no subject that is asked for/,
    ],
    [
      'an unknown extension',
      of('[{entries: [{keyless: {issuer: a, subject: b, additionalExtensions: {x: y}}}]}]'),
      /additionalExtensions\.x: /,
    ],
    ['one character', of('[{entries: [{keyless: {issuer: a, subject: "b?"}}]}]'), /whose \? has no equal/],
    ['an unknown field', of(`[{entries: [${WHO}]}]`, ', attestor: []'), /did you mean attestors/],
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

  it('another log is that of the trust root that is named', () => {
    const { specs } = convert(of(`[{entries: [${key(A, 'rekor: {url: "https://rekor.local"}')}]}]`), {
      trustRoot: 'own',
    })
    assert.deepEqual(specs[0]?.['authorities'], [
      { name: 'signer-1', key: { data: A, transparencyLog: 'required', trustRoot: 'own' } },
    ])
  })
})
