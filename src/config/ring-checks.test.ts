import assert from 'node:assert/strict'
import test from 'node:test'
import { tokenHash } from '../rings/token.ts'
import { load, problems } from './testing/loaded.ts'

const TOKEN = '5d41402abc4b2a76b9719d911017c592'
const FILES = {
  '/etc/portcullis/crt': 'c',
  '/etc/portcullis/key': 'k',
  '/etc/portcullis/ca': 'a',
  '/etc/portcullis/token': `${TOKEN}\n`,
  '/etc/portcullis/short': 'secret',
  '/etc/portcullis/two': 'b1946ac92492d2347c6235b4d2611184\nb1946ac92492d2347c6235b4d2611185\n',
}

test('rings and listeners, with their files', async () => {
  const text = `
listen:
  additional:
    - { name: canary, port: 5002, tls: { cert: crt, key: key, clientCa: ca, clientCertificate: required } }
    - { name: build, host: 127.0.0.2, port: 5000, authentication: token }
rings:
  - { name: canary, when: [{ listener: canary }, { header: { name: X-Ring, value: canary, from: [10.1.0.0/16] } }] }
  - { name: build, when: [{ tokens: { files: [token], sha256: ['${'0'.repeat(64)}'] } }], stanceLimit: closed }
  - { name: default, stanceLimit: last-verified }
`
  const { listen, rings } = await load(text, {}, FILES)
  assert.deepEqual(
    listen.additional.map(({ name, tls }) => [name, tls?.cert, tls?.clientCa]),
    [
      ['canary', '/etc/portcullis/crt', '/etc/portcullis/ca'],
      ['build', undefined, undefined],
    ],
  )
  assert.deepEqual(
    rings.map(({ name, stanceLimit }) => [name, stanceLimit]),
    [
      ['canary', undefined],
      ['build', 'closed'],
      ['default', 'last-verified'],
    ],
  )
  assert.deepEqual(rings[1]?.when, [{ tokens: ['0'.repeat(64), tokenHash(TOKEN)] }])
})

const ONE = '{ name: a, when: [{ cidrs: [10.0.0.0/8] }] }'

const FAULTS: readonly (readonly [name: string, text: string, problem: RegExp])[] = [
  [
    'a ring that recognises nobody',
    'rings: [{ name: a }]',
    /rings\[0\]\.when: found nothing, expected by what its clients are recognised/,
  ],
  [
    'an alternative that says nothing',
    'rings: [{ name: a, when: [{}] }]',
    /rings\[0\]\.when\[0\]: found nothing, .* it would recognise every client/,
  ],
  [
    'a default ring that recognises',
    'rings: [{ name: default, when: [{ cidrs: [10.0.0.0/8] }] }]',
    /found alternatives of the default ring/,
  ],
  [
    'a name twice',
    `rings: [${ONE}, { name: a, when: [{ cidrs: [11.0.0.0/8] }] }]`,
    /rings\[1\]\.name: found "a" twice/,
  ],
  [
    'a name with a space',
    'rings: [{ name: a b, when: [{ cidrs: [10.0.0.0/8] }] }]',
    /rings\[0\]\.name: found "a b", expected lower case/,
  ],
  [
    'a header from anywhere',
    'rings: [{ name: a, when: [{ header: { name: X-Ring, value: a } }] }]',
    /header\.from: found nothing, expected a list/,
  ],
  [
    'a header from nowhere',
    'rings: [{ name: a, when: [{ header: { name: X-Ring, value: a, from: [] } }] }]',
    /header\.from: found a list, expected at least 1/,
  ],
  [
    'a header that proxies set',
    'rings: [{ name: a, when: [{ header: { name: x-forwarded-for, value: a, from: [10.0.0.0/8] } }] }]',
    /header\.name: found "x-forwarded-for", expected a name of your own/,
  ],
  [
    'a header that clients set',
    'rings: [{ name: a, when: [{ header: { name: User-Agent, value: a, from: [10.0.0.0/8] } }] }]',
    /header\.name: found "User-Agent", expected a name of your own/,
  ],
  [
    'a network that is none',
    'rings: [{ name: a, when: [{ cidrs: [10.0.0.0/40] }] }]',
    /cidrs\[0\]: found "10\.0\.0\.0\/40", expected a network/,
  ],
  [
    'a host with a port',
    "rings: [{ name: a, when: [{ hosts: ['a.example:443'] }] }]",
    /hosts\[0\]: found "a\.example:443", expected a host name without a port/,
  ],
  [
    'an unknown listener',
    'rings: [{ name: a, when: [{ listener: canary }] }]',
    /listener: found "canary", expected one of data$/m,
  ],
  [
    'the admin listener',
    'rings: [{ name: a, when: [{ listener: admin }] }]',
    /listener: found "admin", expected one of data/,
  ],
  [
    'a certificate that nobody asks for',
    "rings: [{ name: a, when: [{ clientCertificates: ['DNS:a.example'] }] }]",
    /clientCertificates: found no listener that asks for one/,
  ],
  [
    'a certificate that is named badly',
    'rings: [{ name: a, when: [{ clientCertificates: [a.example] }] }]',
    /clientCertificates\[0\]: found "a\.example", expected DNS:name/,
  ],
  [
    'no token',
    'rings: [{ name: a, when: [{ tokens: {} }] }]',
    /tokens: found no token, expected at least one/,
  ],
  [
    'a token without a file',
    'rings: [{ name: a, when: [{ tokens: { files: [gone] } }] }]',
    /tokens\.files\[0\]: found no readable file: ENOENT/,
  ],
  [
    'a token that can be guessed',
    'rings: [{ name: a, when: [{ tokens: { files: [short] } }] }]',
    /tokens\.files\[0\]: found 6 characters, expected a token of at least 20/,
  ],
  [
    'two tokens in one file',
    'rings: [{ name: a, when: [{ tokens: { files: [two] } }] }]',
    /tokens\.files\[0\]: found white space within, expected one token a file/,
  ],
  [
    'a ring behind a wider one',
    `rings: [${ONE}, { name: b, when: [{ cidrs: [10.1.0.0/16] }] }]`,
    /rings\[1\]\.when\[0\]: found nothing that ring a does not recognise before/,
  ],
  [
    'an alternative behind the same',
    'rings: [{ name: a, when: [{ listener: data }, { listener: data }] }]',
    /rings\[0\]\.when\[1\]: found nothing that ring a does not recognise before/,
  ],
  [
    'two listeners of one name',
    'listen: { additional: [{ name: a, port: 1 }, { name: a, port: 2 }] }',
    /listen\.additional\[1\]\.name: found "a", which another listener is called/,
  ],
  [
    'a listener called data',
    'listen: { additional: [{ name: data, port: 1 }] }',
    /listen\.additional\[0\]\.name: found "data", which another/,
  ],
  [
    'a listener called admin',
    'listen: { additional: [{ name: admin, port: 1 }] }',
    /listen\.additional\[0\]\.name: found "admin", which another/,
  ],
  [
    'a port twice',
    'listen: { additional: [{ name: a, port: 5000 }] }',
    /listen\.additional\[0\]\.port: found 5000, which is the port of data too/,
  ],
  [
    'a port twice, of any address',
    'listen: { additional: [{ name: a, host: 0.0.0.0, port: 5001 }] }',
    /listen\.additional\[0\]\.port: found 5001, which is the port of admin too/,
  ],
  [
    'certificates without an authority',
    'listen: { data: { tls: { cert: crt, key: key, clientCertificate: required } } }',
    /tls\.clientCertificate: found no clientCa beside it/,
  ],
  [
    'a locked door without a key',
    'listen: { data: { authentication: token } }',
    /authentication: found "token", but no ring lists one/,
  ],
]

for (const [name, text, problem] of FAULTS) {
  test(`does not load: ${name}`, async () =>
    assert.match((await problems(text, {}, FILES)).join('\n'), problem))
}

test('one port at two addresses is two listeners', async () => {
  const { listen } = await load('listen: { additional: [{ name: a, host: 127.0.0.2, port: 5000 }] }')
  assert.equal(listen.additional.length, 1)
})

test('a token in the place of its hash is not repeated', async () => {
  const told = await problems(`rings: [{ name: a, when: [{ tokens: { sha256: [${TOKEN}] } }] }]`)
  assert.match(told.join('\n'), /sha256\[0\]: found a hidden value, expected the SHA-256/)
})

test('what is in doubt itself is not held against another section', async () => {
  const rings = 'rings: [{ name: a, when: [{ listener: a }] }]'
  const [first, ...others] = await problems(`listen: { additional: [{ name: a }] }\n${rings}`)
  assert.match(first ?? '', /additional\[0\]\.port/)
  assert.deepEqual(others, [])
  const told = await problems(
    `listen: { data: { authentication: token } }\nrings: [{ name: a, when: [{ tokens: { sha256: [x] } }] }]`,
  )
  assert.equal(told.length, 1)
})
