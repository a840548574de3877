import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contains, createAddressMatcher, parseNetwork } from './network.ts'

const MATCHES: readonly (readonly [
  name: string,
  networks: readonly string[],
  address: string | undefined,
  is: boolean,
])[] = [
  ['inside', ['10.0.0.0/8'], '10.255.255.255', true],
  ['outside', ['10.0.0.0/8'], '11.0.0.0', false],
  ['one address', ['10.0.0.1'], '10.0.0.1', true],
  ['beside one address', ['10.0.0.1'], '10.0.0.2', false],
  ['any of several', ['10.0.0.0/8', '192.0.2.0/24'], '192.0.2.7', true],
  ['IPv4 at a socket of both families', ['10.0.0.0/8'], '::ffff:10.1.2.3', true],
  ['IPv4 at such a socket, outside', ['10.0.0.0/8'], '::ffff:11.1.2.3', false],
  ['IPv6', ['fd00:1::/32'], 'fd00:1:2::3', true],
  ['IPv6 with a zone', ['fe80::/10'], 'fe80::1%eth0', true],
  ['every IPv6 address has no IPv4 one in it', ['::/0'], '10.0.0.1', false],
  ['nor one that is mapped', ['::/0'], '::ffff:10.0.0.1', false],
  ['every IPv4 address', ['0.0.0.0/0'], '::ffff:10.0.0.1', true],
  ['a socket that is gone', ['0.0.0.0/0', '::/0'], undefined, false],
  ['no address', ['0.0.0.0/0', '::/0'], 'localhost', false],
]

for (const [name, networks, address, is] of MATCHES) {
  test(`address: ${name}`, () => assert.equal(createAddressMatcher(networks)(address), is))
}

for (const text of [
  '',
  '10.0.0.0/33',
  '10.0.0/8',
  '10.0.0.0/08',
  'fd00::/129',
  'example.com',
  '::ffff:10.0.0.0/104',
  '::FFFF:a00:1',
  'fe80::1%eth0',
  '10.0.0.0/-1',
  ' 10.0.0.1',
]) {
  test(`no network: ${JSON.stringify(text)}`, () => assert.equal(parseNetwork(text), undefined))
}

const CONTAINED: readonly (readonly [outer: string, inner: string, is: boolean])[] = [
  ['10.0.0.0/8', '10.1.0.0/16', true],
  ['10.1.0.0/16', '10.0.0.0/8', false],
  ['10.0.0.0/8', '10.0.0.0/8', true],
  ['10.0.0.0/8', '11.0.0.0/16', false],
  ['0.0.0.0/0', 'fd00::/8', false],
  ['fd00::/8', 'fd12:3456::1', true],
]

for (const [outer, inner, is] of CONTAINED) {
  test(`${inner} ${is ? 'is' : 'is not'} all in ${outer}`, () => assert.equal(contains(outer, inner), is))
}
