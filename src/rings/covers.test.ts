import assert from 'node:assert/strict'
import { test } from 'node:test'
import { covers } from './covers.ts'
import type { Condition } from './definition.ts'

const HEADER = { name: 'X-Ring', value: 'a', from: ['10.1.0.0/16'] }

const CASES: Readonly<Record<string, [earlier: Condition, later: Condition, is: boolean]>> = {
  'the same': [{ listener: 'a' }, { listener: 'a' }, true],
  'another listener': [{ listener: 'a' }, { listener: 'b' }, false],
  'the same and more': [{ listener: 'a' }, { listener: 'a', cidrs: ['10.0.0.0/8'] }, true],
  less: [{ listener: 'a', cidrs: ['10.0.0.0/8'] }, { listener: 'a' }, false],
  'a part of the network': [{ cidrs: ['10.0.0.0/8'] }, { cidrs: ['10.1.0.0/16', '10.2.0.1'] }, true],
  'more than the network': [{ cidrs: ['10.0.0.0/8'] }, { cidrs: ['10.1.0.0/16', '11.0.0.0/8'] }, false],
  'a header from a part of the network': [{ cidrs: ['10.0.0.0/8'] }, { header: HEADER }, true],
  'a network of a header': [{ header: HEADER }, { cidrs: ['10.1.0.0/16'] }, false],
  'the same header from less': [
    { header: HEADER },
    { header: { ...HEADER, name: 'x-ring', from: ['10.1.2.0/24'] } },
    true,
  ],
  'the same header from more': [{ header: HEADER }, { header: { ...HEADER, from: ['10.0.0.0/8'] } }, false],
  'the same header from more, of clients in less': [
    { header: HEADER },
    { header: { ...HEADER, from: ['10.0.0.0/8'] }, cidrs: ['10.1.2.0/24'] },
    true,
  ],
  'another value': [{ header: HEADER }, { header: { ...HEADER, value: 'b' } }, false],
  'hosts in another case': [{ hosts: ['a.example', 'b.example'] }, { hosts: ['A.example'] }, true],
  'other hosts': [{ hosts: ['a.example'] }, { hosts: ['b.example'] }, false],
  'fewer tokens': [{ tokens: ['1', '2'] }, { tokens: ['2'] }, true],
  'certificates against tokens': [{ tokens: ['1'] }, { clientCertificates: ['DNS:a'] }, false],
}

for (const [name, [earlier, later, is]] of Object.entries(CASES)) {
  test(`behind it: ${name}: ${is ? 'never reached' : 'reached'}`, () =>
    assert.equal(covers(earlier, later), is))
}
