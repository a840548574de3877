import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { after, afterEach, before, suite, test } from 'node:test'
import { createKms, type KmsFault, type TestKms } from '../../testing/kms.ts'
import type { KmsKeySpec } from '../../testing/kms-key.ts'
import { referenceOf } from '../../testing/kms-keys.ts'
import { verifyBytes } from '../../verify/signature-scheme.ts'
import type { FetchKey } from './fetched-key.ts'
import { createKeyFetcher, KMS_DEFAULTS, type KmsSettings } from './kms-client.ts'

const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' }
const SETTINGS: KmsSettings = { ...KMS_DEFAULTS, region: 'eu-west-1', attempts: 1, credentials: CREDENTIALS }

const forever = (): AbortSignal => new AbortController().signal

const NAMES = ['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_ENDPOINT_URL_KMS'] as const
const saved = { ...process.env }

/** Nothing of the machine's own AWS settings, and nobody's instance metadata is asked for. */
function isolate(env: Readonly<Record<string, string>>): void {
  for (const name of NAMES) delete process.env[name]
  const nowhere = { AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' }
  Object.assign(process.env, nowhere, { AWS_EC2_METADATA_DISABLED: 'true' }, env)
}

function restore(): void {
  for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name]
  Object.assign(process.env, saved)
}

let kms: TestKms
before(async () => {
  kms = await createKms()
})
afterEach(() => kms.fault(undefined))
after(() => kms.close())

const fetchHere = (name: string, settings: Partial<KmsSettings> = {}): ReturnType<FetchKey> =>
  createKeyFetcher({ ...SETTINGS, ...settings })(referenceOf(`awskms://${kms.endpoint}/${name}`), forever())

suite('a key of each spec', () => {
  const specs: readonly (readonly [KmsKeySpec, object | undefined])[] = [
    ['ECC_NIST_P256', { hash: 'sha256' }],
    ['ECC_NIST_P384', { hash: 'sha384' }],
    ['ECC_NIST_P521', { hash: 'sha512' }],
    ['ECC_NIST_EDWARDS25519', undefined],
    ['RSA_2048', { hash: 'sha256' }],
    ['RSA_3072', { hash: 'sha256' }],
    ['RSA_4096', { hash: 'sha256' }],
  ]
  for (const [spec, scheme] of specs) {
    test(spec, async () => {
      const key = kms.createKey(spec)
      kms.setAlias('alias/x', key.keyId)
      const fetched = await fetchHere('alias/x')
      assert.ok(fetched.kind === 'key')
      assert.equal(fetched.keyId, key.arn)
      assert.deepEqual(fetched.publicKey.scheme, scheme)
      const message = Buffer.from('a message')
      const used = fetched.publicKey.scheme ?? { hash: null }
      assert.ok(verifyBytes(message, fetched.publicKey.key, key.sign(message), used))
    })
  }

  test('by id, by ARN and by the ARN of an alias', async () => {
    const key = kms.createKey()
    kms.setAlias('alias/y', key.keyId)
    for (const name of [key.keyId, key.arn, key.arn.replace(/key\/.*/, 'alias/y')]) {
      const fetched = await fetchHere(name)
      assert.equal(fetched.kind === 'key' && fetched.keyId, key.arn)
    }
  })

  test('nothing but GetPublicKey is asked, with the credentials and region it was given', async () => {
    const key = kms.createKey()
    kms.requests.length = 0
    await fetchHere(key.keyId)
    await fetchHere(key.arn, { region: 'us-east-1' })
    assert.deepEqual(
      kms.requests.map(({ operation }) => operation),
      ['GetPublicKey', 'GetPublicKey'],
    )
    // The region of an ARN wins over the configured one.
    for (const { authorization } of kms.requests)
      assert.match(authorization, /Credential=test\/\d+\/eu-west-1\/kms/)
  })
})

suite('what is no key', () => {
  const answer = (change: object): KmsFault => {
    const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const body = {
      KeyId: 'arn:aws:kms:eu-west-1:111122223333:key/1',
      KeySpec: 'ECC_NIST_P256',
      KeyUsage: 'SIGN_VERIFY',
      PublicKey: key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      SigningAlgorithms: ['ECDSA_SHA_256'],
      ...change,
    }
    return { status: 200, body: JSON.stringify(body) }
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rsaDer = rsa.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')

  const cases: readonly (readonly [string, KmsFault, 'unavailable' | 'refused', RegExp])[] = [
    ['HTML', 'garbage', 'refused', /SyntaxError/],
    ['nothing', { status: 200, body: '{}' }, 'refused', /without a key/],
    ['a list', { status: 200, body: '[1]' }, 'refused', /without a key/],
    ['no key', answer({ PublicKey: undefined }), 'refused', /without a key/],
    ['an empty key', answer({ PublicKey: '' }), 'refused', /0 bytes that are no public key/],
    ['bytes that are no key', answer({ PublicKey: 'AAAA' }), 'refused', /3 bytes that are no public key/],
    [
      'a huge key',
      answer({ PublicKey: Buffer.alloc(9000).toString('base64') }),
      'refused',
      /a key of 9000 bytes/,
    ],
    ['a huge answer', answer({ x: 'x'.repeat(100_000) }), 'refused', /more than 65536 bytes/],
    ['no name', answer({ KeyId: undefined }), 'refused', /without a key/],
    ['a name of two lines', answer({ KeyId: 'a\nb' }), 'refused', /without a key/],
    ['a key that encrypts', answer({ KeyUsage: 'ENCRYPT_DECRYPT' }), 'refused', /for ENCRYPT_DECRYPT/],
    ['a key agreement', answer({ KeyUsage: 'KEY_AGREEMENT' }), 'refused', /for KEY_AGREEMENT/],
    ['a curve of others', answer({ KeySpec: 'ECC_SECG_P256K1' }), 'refused', /key spec is ECC_SECG_P256K1/],
    ['no spec', answer({ KeySpec: undefined }), 'refused', /key spec is none that is known/],
    ['another spec than the key', answer({ KeySpec: 'RSA_2048' }), 'refused', /type ec prime256v1.*RSA_2048/],
    ['another key than the spec', answer({ PublicKey: rsaDer }), 'refused', /type rsa 2048.*ECC_NIST_P256/],
    ['no algorithms', answer({ SigningAlgorithms: undefined }), 'refused', /algorithm is none that is known/],
    ['an unknown algorithm', answer({ SigningAlgorithms: ['SM2DSA'] }), 'refused', /algorithm is SM2DSA/],
    [
      'an algorithm of other keys',
      answer({ SigningAlgorithms: ['RSASSA_PSS_SHA_256'] }),
      'refused',
      /not RSA/,
    ],
    ['access denied', 'access-denied', 'refused', /allow kms:GetPublicKey.*AccessDeniedException/],
    ['a bad gateway', { status: 502, body: '<html>' }, 'unavailable', /SyntaxError/],
    ['too many requests', { status: 429, body: '' }, 'unavailable', /status 429/],
    ['a redirect', { status: 302, body: '' }, 'refused', /status 302/],
    ['500', '500', 'unavailable', /KMSInternalException/],
    ['throttling', 'throttled', 'unavailable', /ThrottlingException/],
    ['nobody there', 'refused', 'unavailable', /ECONNREFUSED/],
  ]
  for (const [name, fault, code, message] of cases) {
    test(`${name}: ${code}`, async () => {
      await kms.fault(fault)
      await assert.rejects(fetchHere('alias/x'), { name: 'TrustError', code, message })
    })
  }

  for (const asked of [
    '1234abcd-12ab-34cd-56ef-1234567890ab',
    'mrk-1234abcd12ab34cd56ef1234567890ab',
    'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
  ]) {
    const arn = asked.startsWith('arn:') ? asked : `arn:aws:kms:eu-west-1:111122223333:key/${asked}`
    test(`a key is the one that was asked for: ${asked}`, async () => {
      await kms.fault(answer({ KeyId: arn }))
      assert.equal((await fetchHere(asked)).kind, 'key')
      // As moto does.
      await kms.fault(answer({ KeyId: arn.replace(/.*\//, '') }))
      assert.equal((await fetchHere(asked)).kind, 'key')
      for (const other of [arn.replace(/.$/, 'c'), arn.replace(/.*\//, '').replace(/.$/, 'c')]) {
        // oxlint-disable-next-line no-await-in-loop -- the server has one fault at a time
        await kms.fault(answer({ KeyId: other }))
        const refused = { code: 'refused', message: /^answered with another key, / }
        // oxlint-disable-next-line no-await-in-loop -- as above
        await assert.rejects(fetchHere(asked), refused)
      }
    })
  }
  test('the same id in another account is another key', async () => {
    const arn = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
    await kms.fault(answer({ KeyId: arn.replace('111122223333', '444455556666') }))
    await assert.rejects(fetchHere(arn), { code: 'refused', message: /another key/ })
  })

  test('RSA listed with PSS first is a PSS key', async () => {
    await kms.fault(
      answer({ KeySpec: 'RSA_2048', PublicKey: rsaDer, SigningAlgorithms: ['RSASSA_PSS_SHA_512'] }),
    )
    const fetched = await fetchHere('alias/x')
    assert.deepEqual(fetched.kind === 'key' && fetched.publicKey.scheme, { hash: 'sha512', pss: true })
  })

  test('the older name of the key spec will do', async () => {
    await kms.fault(answer({ KeySpec: undefined, CustomerMasterKeySpec: 'ECC_NIST_P256' }))
    assert.equal((await fetchHere('alias/x')).kind, 'key')
  })

  test('a signature that is refused: headers of the request are not repeated', async () => {
    const message = 'does not match.\n\nThe Canonical String should have been\nx-amz-security-token:secret'
    await kms.fault({ status: 400, body: JSON.stringify({ __type: 'InvalidSignatureException', message }) })
    await assert.rejects(fetchHere('alias/x'), {
      code: 'refused',
      message: 'InvalidSignatureException: does not match.',
    })
  })
})

suite('a key that is gone is an answer', () => {
  for (const [state, message] of [
    ['Disabled', /DisabledException/],
    ['PendingDeletion', /KMSInvalidStateException.*pending deletion/],
  ] as const) {
    test(state, async () => {
      const { keyId } = kms.createKey()
      kms.setKeyState(keyId, state)
      const fetched = await fetchHere(keyId)
      assert.match(fetched.kind === 'gone' ? fetched.message : '', message)
    })
  }
  test('no such alias', async () => {
    const fetched = await fetchHere('alias/nobody')
    assert.match(fetched.kind === 'gone' ? fetched.message : '', /NotFoundException/)
  })
  test('the same words with a 500 are an outage', async () => {
    await kms.fault({ status: 500, body: JSON.stringify({ __type: 'NotFoundException' }) })
    await assert.rejects(fetchHere('alias/x'), { code: 'unavailable' })
  })
})

suite('time', () => {
  /** Sends half an answer, and goes on with `then`; `closed` when the client has gone. */
  async function startHalf(then: (outgoing: ServerResponse) => void) {
    const closed = Promise.withResolvers<void>()
    const server = createServer((_incoming, outgoing) => {
      outgoing.once('close', () => closed.resolve())
      outgoing.writeHead(200, { 'content-length': 100 }).write('{', () => then(outgoing))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    return {
      reference: referenceOf(`awskms://127.0.0.1:${port}/alias/x`),
      url: `http://127.0.0.1:${port}/`,
      closed: closed.promise,
      [Symbol.dispose]: () => {
        server.close()
        server.closeAllConnections()
      },
    }
  }
  const nothing = (): void => undefined

  test('a KMS that never answers', async () => {
    await kms.fault('hang')
    const late = fetchHere('alias/x', { requestTimeoutMs: 50 })
    await assert.rejects(late, { code: 'unavailable', message: /TimeoutError/ })
  })
  const limits = [
    ['requestTimeoutMs', /TimeoutError/],
    ['totalTimeoutMs', /no answer in time|Abort/],
  ] as const
  for (const [limit, message] of limits) {
    test(`an answer that never ends: ${limit}`, async () => {
      using half = await startHalf(nothing)
      const late = createKeyFetcher({ ...SETTINGS, [limit]: 50 })(half.reference, forever())
      await assert.rejects(late, { code: 'unavailable', message })
    })
  }
  test('an answer that breaks off', async () => {
    using half = await startHalf((outgoing) => outgoing.destroy())
    const broken = createKeyFetcher(SETTINGS)(half.reference, forever())
    await assert.rejects(broken, { code: 'unavailable', message: /ECONNRESET/ })
  })
  test('a caller that gives up: the connection closes', async () => {
    const caller = new AbortController()
    using half = await startHalf(() => caller.abort())
    const patient = { ...SETTINGS, requestTimeoutMs: 600_000, totalTimeoutMs: 600_000 }
    await assert.rejects(createKeyFetcher(patient)(half.reference, caller.signal), { code: 'unavailable' })
    await half.closed
  })
  test('credentials that never come', async () => {
    using half = await startHalf(nothing)
    isolate({ AWS_REGION: 'eu-west-1', AWS_CONTAINER_CREDENTIALS_FULL_URI: half.url })
    try {
      const patient = { ...KMS_DEFAULTS, totalTimeoutMs: 50 }
      const late = createKeyFetcher(patient)(referenceOf('awskms:///alias/x'), forever())
      await assert.rejects(late, { code: 'unavailable', message: 'no answer in time' })
    } finally {
      restore()
    }
  })
  test('a slow KMS is waited for; one that recovers is asked again', async () => {
    const { keyId } = kms.createKey()
    await kms.fault('slow')
    assert.equal((await fetchHere(keyId)).kind, 'key')
    await kms.fault('500')
    kms.requests.length = 0
    await assert.rejects(fetchHere(keyId, { attempts: 2 }), { code: 'unavailable' })
    assert.equal(kms.requests.length, 2)
  })
})

suite('credentials and region from the environment', () => {
  afterEach(restore)
  const fetchByEnvironment = (): ReturnType<FetchKey> =>
    createKeyFetcher({ ...KMS_DEFAULTS, attempts: 1 })(referenceOf('awskms:///alias/env'), forever())

  test('all of it', async () => {
    isolate(kms.env)
    kms.setAlias('alias/env', kms.createKey().keyId)
    assert.equal((await fetchByEnvironment()).kind, 'key')
  })
  test('no credentials: unavailable', async () => {
    const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...rest } = kms.env
    isolate(rest)
    await assert.rejects(fetchByEnvironment(), { code: 'unavailable', message: /no AWS credentials/ })
  })
  test('no region: unavailable', async () => {
    const { AWS_REGION: _region, ...rest } = kms.env
    isolate(rest)
    await assert.rejects(fetchByEnvironment(), { code: 'unavailable', message: /Region is missing/ })
  })
})
