import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { ALICE, CONFIG, IMAGE, ISSUER, POLICY, policyStage } from './testing/policy.ts'

const SIGNED_BY = (subject: string): string =>
  `evidence: [{ signer: { issuer: ${ISSUER}, subject: ${subject} }, trustRoot: private }]`

const { at, put, portcullis } = policyStage()

describe('policy test', () => {
  const file = (cases: string): string =>
    `apiVersion: portcullis.dev/v1alpha1\nkind: PolicyTest\nring: prod\ncases:\n${cases}`

  it('passes what comes out as expected: declared, by a key that is looked up, and by a real bundle', async () => {
    const path = await put(
      'tests/good.yaml',
      file(`  - name: alice
    image: ghcr.io/acme/app
    ${SIGNED_BY(ALICE)}
    expect: { outcome: serve, policies: { acme: satisfied }, warnings: [] }
  - name: mallory
    image: ghcr.io/acme/app
    ${SIGNED_BY('mallory@acme.example')}
    expect: { outcome: refuse, reasons: [wrong-identity], message: [mallory@acme.example, https://wiki.example/acme] }
  - name: mallory in canary
    image: ghcr.io/acme/app
    ring: canary
    ${SIGNED_BY('mallory@acme.example')}
    expect: { outcome: serve, warnings: [acme], message: would be blocked by policy acme }
  - name: the hsm
    image: ghcr.io/acme/app
    evidence: [{ signer: { key: { reference: awskms:///alias/release } } }]
    expect: { outcome: serve }
  - name: the hsm is away
    image: ghcr.io/acme/app
    outages: [{ dependency: kms, name: awskms:///alias/release }]
    expect: { outcome: hold, policies: { acme: undetermined } }
  - name: the stance of the ring is stricter than that of the policy
    image: ghcr.io/acme/app
    outages: [{ dependency: registry }]
    satisfiedBefore: [acme]
    expect: { outcome: hold }
  - name: a bundle
    image: ghcr.io/acme/app@${digestOf(IMAGE)}
    evidence: [{ bundle: alice.sigstore.json }]
    expect: { outcome: serve, policies: { acme: satisfied } }
  - name: the bundle of another image
    image: ghcr.io/acme/app@${digestOf(Buffer.from('another'))}
    evidence: [{ bundle: alice.sigstore.json }]
    expect: { outcome: refuse, reasons: [invalid-evidence] }
  - name: broken evidence
    image: ghcr.io/acme/app
    invalid: [{ code: signature, message: the signature does not verify }]
    expect: { reasons: [invalid-evidence], message: the signature does not verify }
  - name: nobody's image
    image: nginx
    expect: { outcome: refuse, policies: { unmatched: violated }, reasons: [no-policy] }
`),
    )
    const { code, stdout, stderr } = await portcullis('test', path)
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, /^tests\/good\.yaml\n {2}ok {4}alice\n/)
    assert.match(stdout, /10 cases: 10 passed, 0 failed\n$/)
  })

  it('reads predicates and keys from files beside the test', async () => {
    const key = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
    await put(
      'approved/policy.yaml',
      POLICY.replace(
        /authorities:[^]*/,
        `authorities:
    - name: vetting
      key: { file: keys/vetting.pub, transparencyLog: required, trustRoot: private }
      attestations:
        - name: approval
          predicateType: https://acme.example/approved/v1
          maxAge: 30d
          expressions: [{ expression: statement.predicate.decision == "approved" }]
`,
      ),
    )
    await put('approved/keys/vetting.pub', key)
    await put('beside/vetting.pub', key)
    await put('beside/approved.json', '{ "decision": "approved" }')
    const evidence = (more: string): string =>
      `{ signer: { key: { file: vetting.pub } }, trustRoot: private, ${more} attestation: ` +
      '{ predicateType: https://acme.example/approved/v1, predicateFile: approved.json } }'
    const path = await put(
      'beside/test.yaml',
      file(`  - name: approved
    image: ghcr.io/acme/app
    now: 2026-05-01
    evidence: [${evidence('logged: true, signedAt: 2026-04-20,')}]
    expect: { outcome: serve }
  - name: approved too long ago
    image: ghcr.io/acme/app
    evidence: [${evidence('logged: true, signedAt: 2026-04-20,')}]
    expect: { outcome: refuse, reasons: [too-old] }
  - name: approved in secret
    image: ghcr.io/acme/app
    evidence: [${evidence('')}]
    expect: { outcome: refuse, reasons: [not-logged] }
`),
    )
    const { code, stdout, stderr } = await portcullis('test', path, '--policies', at('approved'))
    assert.equal(code, 0, stdout + stderr)
  })

  it('verifies bundles of a root that comes by TUF with the document that is named', async () => {
    const config = await put(
      'tuf.yaml',
      CONFIG.replace(
        '{ kind: pinned, path: trusted_root.json }',
        `{ kind: tuf, url: https://tuf.example, rootDigest: "${digestOf(IMAGE)}" }`,
      ),
    )
    const path = await put(
      'tests/tuf.yaml',
      file(`  - name: a bundle
    image: ghcr.io/acme/app@${digestOf(IMAGE)}
    evidence: [{ bundle: alice.sigstore.json }]
    expect: { outcome: serve }
`),
    )
    const root = `private=${at('trusted_root.json')}`
    assert.equal((await portcullis('test', path, '-c', config, '--trusted-root', root)).code, 0)
    const without = await portcullis('test', path, '-c', config)
    assert.equal(without.code, 1)
    assert.match(without.stderr, /trust root private is not at hand.*--trusted-root private=FILE/)
    assert.equal((await portcullis('test', path, '--trusted-root', 'x=y')).code, 3)
  })

  it('fails with what was expected, what was found, and why', async () => {
    const path = await put(
      'bad/bad.yaml',
      file(`  - name: alice is refused
    image: ghcr.io/acme/app
    ${SIGNED_BY(ALICE)}
    expect: { outcome: refuse, policies: { acme: violated }, reasons: [too-old], message: no }
`),
    )
    // Also by its directory.
    const { code, stdout } = await portcullis('test', dirname(path))
    assert.equal(code, 1)
    assert.equal(
      stdout,
      `bad/bad.yaml
  FAIL  alice is refused
        bad/bad.yaml:5: ghcr.io/acme/app, ring prod
        outcome: expected refuse
                 found    serve
        policy acme: expected violated
                     found    satisfied
        reasons: expected too-old
                 found    none
        message: expected "no"
                 found    no message
        policy acme (enforce): satisfied by people
1 case: 0 passed, 1 failed
`,
    )
    const { cases, failed } = JSON.parse((await portcullis('test', path, '--json')).stdout)
    assert.deepEqual([failed, cases[0].passed, cases[0].mismatches.length], [1, false, 4])
  })

  const wrong: readonly (readonly [name: string, cases: string, says: RegExp])[] = [
    [
      'an unknown key',
      '  - { name: a, image: nginx, expekt: {} }\n',
      /:5: cases\[0\]\.expekt: unknown key, did you mean expect\?/,
    ],
    ['nothing expected', '  - { name: a, image: nginx, expect: {} }\n', /without one the case can only pass/],
    [
      'no image',
      '  - { name: a, image: UPPER, expect: { outcome: serve } }\n',
      /expected an image name such as/,
    ],
    [
      'an unknown ring',
      '  - { name: a, image: nginx, ring: prd, expect: { outcome: serve } }\n',
      /found "prd", expected a ring: default, canary, prod/,
    ],
    [
      'an unknown policy',
      '  - { name: a, image: nginx, expect: { policies: { acmee: satisfied } } }\n',
      /found "acmee", expected a policy: acme, unmatched/,
    ],
    [
      'an outage of a key that nobody uses',
      '  - { name: a, image: nginx, outages: [{ dependency: kms, name: x }], expect: { outcome: serve } }\n',
      /found "x", expected a key reference: awskms:\/\/\/alias\/release/,
    ],
    [
      'a bundle without a digest',
      '  - { name: a, image: nginx, evidence: [{ bundle: alice.sigstore.json }], expect: { outcome: serve } }\n',
      /expected an image with the digest/,
    ],
    [
      'a bundle that is not there',
      `  - { name: a, image: "nginx@${digestOf(IMAGE)}", evidence: [{ bundle: no.json }], expect: { outcome: serve } }\n`,
      /evidence\[0\]\.bundle: found no readable file/,
    ],
    [
      'a signer without a subject',
      `  - { name: a, image: nginx, evidence: [{ signer: { issuer: x } }], expect: { outcome: serve } }\n`,
      /found one of issuer and subject, expected both/,
    ],
  ]
  for (const [name, cases, says] of wrong) {
    it(`exits with 3 for ${name}`, async () => {
      const { code, stdout, stderr } = await portcullis('test', await put('tests/wrong.yaml', file(cases)))
      assert.deepEqual([code, stdout], [3, ''], stderr)
      assert.match(stderr, says)
    })
  }
})
