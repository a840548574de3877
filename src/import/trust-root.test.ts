import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { refusalText } from '../policy/cluster-image-policy/remarks.ts'
import { pathText } from '../policy/problem.ts'
import { createSigstore } from '../testing/sigstore.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import { importTrustRoot } from './trust-root.ts'

const pem = (label: string, der: string) =>
  Buffer.from(`-----BEGIN ${label}-----\n${der}\n-----END ${label}-----\n`).toString('base64')

/** The keys of an instance as people write them into a TrustRoot, out of its trusted_root.json. */
async function sigstoreKeys(): Promise<Record<string, unknown[]>> {
  const root = JSON.parse((await createSigstore()).trustedRootJson()) as Record<
    string,
    { publicKey: { rawBytes: string }; certChain: { certificates: { rawBytes: string }[] } }[]
  >
  const logs = (name: string) =>
    (root[name] ?? []).map((log) => ({
      baseURL: 'https://log.example',
      hashAlgorithm: 'sha-256',
      publicKey: pem('PUBLIC KEY', log.publicKey.rawBytes),
    }))
  const authorities = (name: string) =>
    (root[name] ?? []).map((one) => ({
      subject: { organization: 'o', commonName: 'c' },
      uri: 'https://ca.example',
      certChain: Buffer.from(
        one.certChain.certificates
          .map(({ rawBytes }) => `-----BEGIN CERTIFICATE-----\n${rawBytes}\n-----END CERTIFICATE-----\n`)
          .join(''),
      ).toString('base64'),
    }))
  return {
    certificateAuthorities: authorities('certificateAuthorities'),
    tLogs: logs('tlogs'),
    ctLogs: logs('ctlogs'),
    timestampAuthorities: authorities('timestampAuthorities'),
  }
}

const document = (spec: object, name = 'own') => ({
  apiVersion: 'policy.sigstore.dev/v1alpha1',
  kind: 'TrustRoot',
  metadata: { name },
  spec,
})
const refusalsOf = (value: unknown) =>
  importTrustRoot(value)
    .refusals.map((one) => `${pathText(one.path)}: ${refusalText(one)}`)
    .join('\n')

describe('a TrustRoot', () => {
  it('of keys is a trusted_root.json that is pinned', async () => {
    const { configuration, files, refusals } = importTrustRoot(
      document({ sigstoreKeys: await sigstoreKeys() }),
    )
    assert.deepEqual(refusals, [])
    assert.deepEqual(configuration, [
      { trust: { roots: { own: { kind: 'pinned', path: 'own.trusted_root.json' } } } },
    ])
    const [file] = files
    assert.equal(file?.path, 'own.trusted_root.json')
    const original = readTrustRoot('original', (await createSigstore()).trustedRootJson())
    const read = readTrustRoot('own', file.text)
    assert.ok(!('problem' in read) && !('problem' in original))
    for (const part of ['tlogs', 'ctlogs', 'certificateAuthorities', 'timestampAuthorities'] as const) {
      assert.equal(read.material[part].length, original.material[part].length, part)
    }
  })

  it('knows its logs by the same id', async () => {
    const sigstore = await createSigstore()
    const log = (
      JSON.parse(sigstore.trustedRootJson()) as {
        tlogs: { publicKey: { rawBytes: string }; logId: { keyId: string } }[]
      }
    ).tlogs[0]
    const keys = {
      certificateAuthorities: [],
      tLogs: [
        {
          baseURL: 'https://l.example',
          hashAlgorithm: 'sha-256',
          publicKey: pem('PUBLIC KEY', log!.publicKey.rawBytes),
        },
      ],
    }
    const [file] = importTrustRoot(document({ sigstoreKeys: keys })).files
    assert.match(
      file?.text ?? '',
      new RegExp(`"keyId": ${JSON.stringify(log!.logId.keyId).replaceAll(/[+/]/g, String.raw`\$&`)}`),
    )
  })

  it('of a mirror is a TUF repository', () => {
    const root = Buffer.from('{"signed": {}}').toString('base64')
    const { configuration, files, refusals } = importTrustRoot(
      document({ remote: { mirror: 'https://tuf.example', root, trustedRootTarget: 'x.json' } }),
    )
    assert.deepEqual(refusals, [])
    assert.deepEqual(configuration, [
      {
        trust: {
          roots: {
            own: { kind: 'tuf', url: 'https://tuf.example', root: 'own.root.json', target: 'x.json' },
          },
        },
      },
    ])
    assert.deepEqual(files, [{ path: 'own.root.json', text: '{"signed": {}}' }])
  })

  const root = Buffer.from('{}').toString('base64')
  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    ['a repository', document({ repository: { root, mirrorFS: root } }), /spec\.repository: .*kind: pinned/],
    ['nothing', document({}), /found 0 of remote/],
    [
      'two',
      document({ remote: { root, mirror: 'https://a.example' }, sigstoreKeys: {} }),
      /found 2 of remote/,
    ],
    ['a name', document({ repository: {} }, 'a.b'), /no trust root can be called/],
    ['no URL', document({ remote: { root, mirror: 'MIRROR' } }), /mirror: found "MIRROR"/],
    ['other targets', document({ remote: { root, mirror: 'https://a.example', targets: 'x' } }), /targets: /],
    [
      'no root',
      document({ remote: { root: 'ROOT_JSON', mirror: 'https://a.example' } }),
      /root: found no base64/,
    ],
    [
      'a root that is none',
      document({ remote: { root: Buffer.from('x').toString('base64'), mirror: 'https://a.example' } }),
      /root: found no TUF root/,
    ],
    [
      'no log of certificates',
      document({ sigstoreKeys: { certificateAuthorities: [{}] } }),
      /ctLogs: .*promise/,
    ],
    [
      'no chain',
      document({ sigstoreKeys: { certificateAuthorities: [{ subject: {}, certChain: root }] } }),
      /found no certificate/,
    ],
    [
      'a key of a log that is none',
      document({ sigstoreKeys: { tLogs: [{ publicKey: root, hashAlgorithm: 'sha-256' }] } }),
      /found no public key/,
    ],
    [
      'a hash',
      document({ sigstoreKeys: { tLogs: [{ publicKey: root, hashAlgorithm: 'sha-512' }] } }),
      /hashAlgorithm: found "sha512"/,
    ],
    ['an unknown field', document({ sigstoreKeys: { tlogs: [] } }), /did you mean tLogs/],
  ]
  for (const [name, value, refusal] of refused)
    it(`${name}: refused`, () => assert.match(refusalsOf(value), refusal))
})
