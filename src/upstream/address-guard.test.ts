import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { describe, test } from 'node:test'
import { createAddressGuard, guardedLookup } from './address-guard.ts'

const cases: Record<string, { addresses: string[]; strict: boolean; lenient: boolean }> = {
  'public addresses': {
    addresses: ['93.184.216.34', '2606:2800:220:1::1', '::ffff:93.184.216.34', '64:ff9b::5db8:d822'],
    strict: true,
    lenient: true,
  },
  'private addresses': {
    addresses: [
      '10.1.2.3',
      '100.64.0.1',
      '127.0.0.1',
      '172.31.255.255',
      '192.168.0.1',
      '198.18.0.1',
      '::1',
      'fd12::1',
      '::ffff:10.0.0.1',
      '64:ff9b::a00:1',
      '64:ff9b:1::1',
    ],
    strict: false,
    lenient: true,
  },
  'addresses that are never a registry': {
    addresses: [
      '0.0.0.0',
      '169.254.169.254',
      '100.100.100.200',
      '168.63.129.16',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      'fe80::1',
      'fe80::1%eth0',
      'ff02::1',
      'fd00:ec2::254',
      '::ffff:169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      '64:ff9b:0:0::169.254.169.254',
      '2002:a9fe:a9fe::1',
    ],
    strict: false,
    lenient: false,
  },
  'no addresses': { addresses: ['', 'localhost', '10.0.0', '1'], strict: false, lenient: false },
}

describe('createAddressGuard', () => {
  for (const [name, { addresses, strict, lenient }] of Object.entries(cases)) {
    for (const address of addresses) {
      test(`${name}: ${address}`, () => {
        assert.equal(createAddressGuard(false)(address), strict)
        assert.equal(createAddressGuard(true)(address), lenient)
      })
    }
  }
})

describe('guardedLookup', () => {
  const mixed = [
    { address: '10.0.0.1', family: 4 },
    { address: '93.184.216.34', family: 4 },
    { address: '2606:2800:220:1::1', family: 6 },
  ]
  const look = (all: boolean, family: number, answer = mixed) =>
    new Promise<string | LookupAddress[]>((resolve, reject) => {
      const lookup = guardedLookup(createAddressGuard(false), () => Promise.resolve(answer))
      lookup('host.example', { all, family }, (error, address) =>
        error === null ? resolve(address) : reject(error),
      )
    })

  test('gives only addresses that may be dialled', async () => {
    assert.deepEqual(await look(true, 0), mixed.slice(1))
    assert.equal(await look(false, 0), '93.184.216.34')
    assert.deepEqual(await look(true, 6), mixed.slice(2))
  })

  test('fails where none is left', () =>
    assert.rejects(look(true, 0, mixed.slice(0, 1)), { code: 'invalid' }))
})
