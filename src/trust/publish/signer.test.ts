import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, hash, verify, type KeyObject } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Key } from '@tufjs/models'
import { createKms } from '../../testing/kms.ts'
import { KMS_DEFAULTS } from '../kms/kms-client.ts'
import { PublishError } from './error.ts'
import { hasOwnId, parsePublicKey } from './key.ts'
import { connectAwsKms } from './kms-signer.ts'
import { openSigner, type RoleSigner } from './signer.ts'
import { createPublisher } from './testing/publisher.ts'
import { signOffline } from './testing/ceremony.ts'

const BYTES = Buffer.from('{"_type":"root"}')

async function open(
  pem: string,
  { mode = 0o600, passphrase }: { mode?: number; passphrase?: string } = {},
): Promise<RoleSigner> {
  const directory = await fs.mkdtemp(join(tmpdir(), 'portcullis-signer-'))
  const path = join(directory, 'key.pem')
  await fs.writeFile(path, pem)
  await fs.chmod(path, mode)
  try {
    const connectKms = () => Promise.reject(new Error('no KMS here'))
    return await openSigner(path, { disk: fs, connectKms, passphrase })
  } finally {
    await fs.rm(directory, { recursive: true })
  }
}

function pkcs8(privateKey: KeyObject): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}

const ed25519 = generateKeyPairSync('ed25519')
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })

suite('a key in a file', () => {
  test('Ed25519 and P-256 sign as their TUF schemes say', async () => {
    const one = await open(pkcs8(ed25519.privateKey))
    assert.deepEqual([one.key.keyType, one.key.scheme], ['ed25519', 'ed25519'])
    assert.ok(verify(null, BYTES, ed25519.publicKey, await one.sign(BYTES)))
    const two = await open(pkcs8(p256.privateKey))
    assert.deepEqual([two.key.keyType, two.key.scheme], ['ecdsa', 'ecdsa-sha2-nistp256'])
    assert.ok(verify('sha256', BYTES, p256.publicKey, await two.sign(BYTES)))
    for (const { key } of [one, two]) assert.ok(hasOwnId(key))
  })

  test('encrypted: with its passphrase', async () => {
    const options = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'secret' } as const
    const pem = ed25519.privateKey.export(options).toString()
    const { key } = await open(pem, { passphrase: 'secret' })
    assert.equal(key.keyID, (await open(pkcs8(ed25519.privateKey))).key.keyID)
    await assert.rejects(open(pem), /is encrypted: set TUF_KEY_PASSPHRASE/)
    await assert.rejects(open(pem, { passphrase: 'wrong' }), /cannot be read as a PKCS#8 key/)
  })

  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const refused: readonly (readonly [name: string, pem: string, says: RegExp, mode?: number])[] = [
    ['P-384', pkcs8(p384.privateKey), /holds a key of type secp384r1; use Ed25519/],
    ['RSA', pkcs8(rsa.privateKey), /holds a key of type rsa; use Ed25519/],
    [
      'SEC 1',
      p256.privateKey.export({ format: 'pem', type: 'sec1' }).toString(),
      /is a SEC 1 key; convert it: openssl pkcs8 -topk8/,
    ],
    [
      'a public key',
      p256.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
      /is a public key; signing needs the private one/,
    ],
    ['no PEM', 'hello', /is no PKCS#8 key \(no PEM\)/],
    ['a damaged one', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', /cannot be read/],
    ['readable by the group', pkcs8(ed25519.privateKey), /mode 0640\): chmod 600/, 0o640],
    ['writable by others', pkcs8(ed25519.privateKey), /mode 0602\): chmod 600/, 0o602],
  ]
  for (const [name, pem, says, mode = 0o600] of refused) {
    test(`${name}: refused with what to do`, async () => {
      await assert.rejects(
        open(pem, { mode }),
        (error) => error instanceof PublishError && error.code === 'key' && says.test(error.message),
      )
    })
  }
})

test('a key under an ID that is not its hash is found out', () => {
  const pem = p256.publicKey.export({ format: 'pem', type: 'spki' }).toString()
  const { keyType, scheme, keyVal } = parsePublicKey(pem, 'key.pub')
  assert.equal(hasOwnId(new Key({ keyID: 'a'.repeat(64), keyType, scheme, keyVal })), false)
})

suite('one key has one ID', () => {
  const pemOf = (publicKey: KeyObject) => publicKey.export({ format: 'pem', type: 'spki' }).toString()
  const one = parsePublicKey(pemOf(p256.publicKey), 'key.pub')
  const two = parsePublicKey(pemOf(ed25519.publicKey), 'key.pub')
  const others: readonly (readonly [name: string, key: Key, edit: (value: string) => string])[] = [
    ['a PEM with a line more', one, (pem) => `${pem}\n`],
    ['a PEM with a space', one, (pem) => pem.replace('\n', ' \n')],
    ['a PEM in shorter lines', one, (pem) => pem.replace('MFkw', 'MFkw\n')],
    ['a PEM with text before it', one, (pem) => `key\n${pem}`],
    ['hex in upper case', two, (hex) => hex.toUpperCase()],
    ['hex with a digit that is none', two, (hex) => hex.replace(/.$/, 'g')],
    ['no key at all', one, () => 'hello'],
  ]
  for (const [name, key, edit] of others) {
    test(`${name}: not its own, although it is the hash`, () => {
      assert.ok(hasOwnId(key))
      const { keyType, scheme } = key
      const value = edit(key.keyVal['public'] ?? '')
      const canonical = JSON.stringify({ keytype: keyType, keyval: { public: value }, scheme })
      const keyID = hash('sha256', canonical.replaceAll('\\n', '\n'), 'hex')
      assert.equal(hasOwnId(new Key({ keyID, keyType, scheme, keyVal: { public: value } })), false)
    })
  }

  test('a compressed point is the same key', () => {
    const der = p256.publicKey.export({ format: 'der', type: 'spki' })
    // SEC 1, 2.3.3: the sign of y, then x. RFC 5480: the header of a P-256 key of 33 bytes.
    const header = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex')
    const sign = Buffer.from([(der.at(-1) ?? 0) % 2 === 0 ? 2 : 3])
    const compressed = Buffer.concat([header, sign, der.subarray(-64, -32)])
    const key = createPublicKey({ key: compressed, format: 'der', type: 'spki' })
    assert.notEqual(pemOf(key), pemOf(p256.publicKey))
    assert.equal(parsePublicKey(pemOf(key), 'key.pub').keyID, one.keyID)
  })
})

suite('a key in AWS KMS', () => {
  const connectKms = (reference: string) =>
    connectAwsKms(reference, {
      ...KMS_DEFAULTS,
      attempts: 1,
      region: 'eu-west-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    })

  test('signs by digest; the whole ceremony works with it', async () => {
    await using kms = await createKms()
    const { keyId } = kms.createKey()
    kms.setAlias('alias/tuf', keyId)
    const reference = `awskms://${kms.endpoint}/alias/tuf`
    await using publisher = await createPublisher({ connectKms })
    await publisher.keys('alice', 'bob', 'targets')
    const roots = ['alice', 'bob'].map((name) => publisher.path(`${name}.pub`))
    const online = ['--snapshot-key', reference, '--timestamp-key', reference]
    await publisher.must(
      'init',
      '--root-key',
      ...roots,
      '--threshold',
      '2',
      '--targets-key',
      publisher.path('targets.pem'),
      ...online,
    )
    await signOffline(publisher, 1, 'alice', 'bob')
    await publisher.must('targets', '--add', `key=${publisher.path('alice.pub')}`)
    assert.match(await publisher.must('timestamp'), /nothing is due/)
    assert.ok(kms.requests.some(({ operation }) => operation === 'Sign'))

    await kms.fault('500')
    const down = await publisher.run('timestamp')
    assert.equal(down.code, 2)
    assert.match(down.err, /cannot sign timestamp: awskms:\/\//)
    assert.equal((await publisher.run('status')).code, 0)
    await kms.fault(undefined)

    kms.setAlias('alias/tuf', kms.createKey().keyId)
    const moved = await publisher.run('timestamp')
    assert.equal(moved.code, 3)
    assert.match(moved.err, /now holds key \w{8}, but the root lists \w{8}/)
  })

  const refused = [
    ['an RSA key', 'RSA_2048', undefined, /holds a key of type rsa/],
    ['a key of another curve', 'ECC_NIST_P384', undefined, /holds a key of type secp384r1/],
    ['no permission', 'ECC_NIST_P256', 'access-denied', /allow kms:GetPublicKey and kms:Sign on it/],
    ['no such key', 'ECC_NIST_P256', 'not-found', /NotFoundException/],
  ] as const
  for (const [name, spec, fault, says] of refused) {
    test(`${name}: refused`, async () => {
      await using kms = await createKms()
      const { keyId } = kms.createKey(spec)
      await kms.fault(fault)
      await assert.rejects(
        openSigner(`awskms://${kms.endpoint}/${keyId}`, { disk: fs, connectKms }),
        (error) => error instanceof PublishError && error.code === 'key' && says.test(error.message),
      )
    })
  }

  test('a reference that is none: refused before anything is asked', async () => {
    await using kms = await createKms()
    await assert.rejects(openSigner('awskms://host', { disk: fs, connectKms }), { code: 'key' })
    assert.deepEqual(kms.requests, [])
  })
})
