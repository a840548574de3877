import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RingDefinition } from './definition.ts'
import { compileRings, ringOf, type ConnectionFacts } from './recognise.ts'
import { tokenHash } from './token.ts'

const TOKEN = 'c1f0a6e2b84d4f0d9a7731d5a9a0e6b2'

const RINGS: readonly RingDefinition[] = [
  { name: 'canary', when: [{ listener: 'canary' }] },
  { name: 'header', when: [{ header: { name: 'X-Ring', value: 'blue', from: ['10.1.0.0/16'] } }] },
  { name: 'network', when: [{ cidrs: ['10.2.0.0/16'] }, { cidrs: ['fd00:2::/64'] }] },
  { name: 'host', when: [{ hosts: ['Build.registry.example.com'], cidrs: ['10.3.0.0/16'] }] },
  { name: 'machine', when: [{ clientCertificates: ['URI:spiffe://example.com/build'] }] },
  { name: 'token', when: [{ tokens: [tokenHash(TOKEN)] }] },
  { name: 'default', when: [], stanceLimit: 'closed' },
]

type Asker = Partial<ConnectionFacts> & { readonly headers?: Readonly<Record<string, string>> }

function ringFor({ headers = {}, ...connection }: Asker, definitions = RINGS): string {
  const rings = compileRings(definitions)
  const facts = { listener: 'data', address: '192.0.2.1', certificate: undefined, ...connection }
  // As requestFacts: what is said more than once is said by nobody.
  const header = (name: string) => headers[name]
  return ringOf(rings, rings.candidates(facts), { header }).name
}

const build = { identities: new Set(['URI:spiffe://example.com/build']) }

const RECOGNISED: Readonly<Record<string, [asker: Asker, ring: string]>> = {
  nothing: [{}, 'default'],
  listener: [{ listener: 'canary' }, 'canary'],
  'header from where it counts': [{ address: '10.1.0.1', headers: { 'x-ring': 'blue' } }, 'header'],
  'header, IPv4 at an IPv6 socket': [{ address: '::ffff:10.1.0.1', headers: { 'x-ring': 'blue' } }, 'header'],
  network: [{ address: '10.2.3.4' }, 'network'],
  'network, the other alternative': [{ address: 'fd00:2::1' }, 'network'],
  host: [{ address: '10.3.0.1', headers: { host: 'build.registry.example.com' } }, 'host'],
  'host with a port': [{ address: '10.3.0.1', headers: { host: 'build.registry.example.com:5000' } }, 'host'],
  'host in another case, with a dot at its end': [
    { address: '10.3.0.1', headers: { host: 'BUILD.registry.example.com.:443' } },
    'host',
  ],
  certificate: [{ certificate: build }, 'machine'],
  token: [{ headers: { authorization: `Bearer ${TOKEN}` } }, 'token'],
  'the first of two wins': [{ listener: 'canary', address: '10.2.0.1' }, 'canary'],
  'a later one, where the first has a header that it lacks': [
    { address: '10.1.0.1', headers: { authorization: `Bearer ${TOKEN}` } },
    'token',
  ],
}

describe('recognised by', () => {
  for (const [name, [asker, ring]] of Object.entries(RECOGNISED)) {
    test(name, () => assert.equal(ringFor(asker), ring))
  }
})

const SPOOFED: Readonly<Record<string, Asker>> = {
  'header from outside': { headers: { 'x-ring': 'blue' } },
  'header from a network that is recognised by itself only': {
    address: '10.10.0.1',
    headers: { 'x-ring': 'blue' },
  },
  'header with another value': { address: '10.1.0.1', headers: { 'x-ring': 'Blue' } },
  'header with two values': { address: '10.1.0.1', headers: { 'x-ring': 'blue, blue' } },
  'header that is empty': { address: '10.1.0.1', headers: { 'x-ring': '' } },
  'X-Forwarded-For': {
    headers: { 'x-forwarded-for': '10.2.0.1', forwarded: 'for=10.2.0.1', 'x-real-ip': '10.2.0.1' },
  },
  'host from another network': { headers: { host: 'build.registry.example.com' } },
  'host that only begins like it': {
    address: '10.3.0.1',
    headers: { host: 'build.registry.example.com.evil.example' },
  },
  'host below it': { address: '10.3.0.1', headers: { host: 'a.build.registry.example.com' } },
  'the name of a listener as host': { headers: { host: 'canary' } },
  'certificate of another name': {
    certificate: { identities: new Set(['URI:spiffe://example.com/build/x']) },
  },
  'certificate with the name as another kind': {
    certificate: { identities: new Set(['DNS:spiffe://example.com/build']) },
  },
  'no certificate, its name in a header': { headers: { 'x-client-cert': 'URI:spiffe://example.com/build' } },
  'a beginning of the token': { headers: { authorization: `Bearer ${TOKEN.slice(0, 16)}` } },
  'an empty token': { headers: { authorization: 'Bearer ' } },
  'the hash of the token': { headers: { authorization: `Bearer ${tokenHash(TOKEN)}` } },
  'the token in another header': { headers: { 'x-token': TOKEN, cookie: `token=${TOKEN}` } },
  'a socket without address': { address: undefined },
}

describe('not recognised by', () => {
  for (const [name, asker] of Object.entries(SPOOFED)) {
    test(name, () => assert.equal(ringFor(asker), 'default'))
  }
})

test('all fields of an alternative must hold', () => {
  const all: RingDefinition = {
    name: 'all',
    when: [
      {
        listener: 'canary',
        hosts: ['a.example'],
        cidrs: ['10.0.0.0/8'],
        header: { name: 'X-Ring', value: 'a', from: ['10.1.0.0/16'] },
        clientCertificates: ['URI:spiffe://example.com/build'],
        tokens: [tokenHash(TOKEN)],
      },
    ],
  }
  const headers = { host: 'a.example', 'x-ring': 'a', authorization: `Bearer ${TOKEN}` }
  const whole = { listener: 'canary', address: '10.1.0.1', certificate: build, headers }
  assert.equal(ringFor(whole, [all]), 'all')
  const lacking: readonly Asker[] = [
    { ...whole, listener: 'data' },
    { ...whole, address: '10.2.0.1' },
    { ...whole, certificate: undefined },
    { ...whole, headers: { ...headers, host: 'b.example' } },
    { ...whole, headers: { ...headers, 'x-ring': 'b' } },
    { ...whole, headers: { ...headers, authorization: 'Bearer b' } },
  ]
  for (const asker of lacking) assert.equal(ringFor(asker, [all]), 'default')
})

test('the default ring is there without being configured, and has its limit where it is', () => {
  assert.deepEqual(compileRings([]).fallback, { name: 'default', stanceLimit: undefined })
  assert.deepEqual(compileRings(RINGS).fallback, { name: 'default', stanceLimit: 'closed' })
  assert.ok(compileRings(RINGS).rings.every(({ name }) => name !== 'default'))
})

test('behind what a connection is recognised by for certain nothing is looked at', () => {
  const candidates = compileRings(RINGS).candidates({
    listener: 'data',
    address: '10.2.0.1',
    certificate: undefined,
  })
  assert.deepEqual(
    candidates.map(({ ring }) => ring.name),
    ['network'],
  )
})

test('a condition that says nothing is refused: it would recognise everybody', () => {
  assert.throws(() => compileRings([{ name: 'all', when: [{}] }]), TypeError)
})
