import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { element, oid, sequence, setOf, utf8String } from '../testing/der.ts'
import { parseDer } from './asn1.ts'
import { distinguishedName } from './distinguished-name.ts'

const CN = '2.5.4.3'
const printable = (text: string): Buffer => element(0x13, Buffer.from(text))
const part = (type: string, value: Buffer): Buffer => setOf(sequence(oid(type), value))
const nameOf = (...parts: readonly Buffer[]): string => distinguishedName(parseDer(sequence(...parts)))

suite('distinguished names as RFC 4514 writes them', () => {
  const cases: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['nothing', [], ''],
    [
      'the last part first',
      [
        part('2.5.4.6', printable('DE')),
        part('2.5.4.10', utf8String('Acme')),
        part(CN, utf8String('Signing CA')),
      ],
      'CN=Signing CA,O=Acme,C=DE',
    ],
    [
      'domain components',
      [
        part('0.9.2342.19200300.100.1.25', element(0x16, Buffer.from('test'))),
        part('0.9.2342.19200300.100.1.25', element(0x16, Buffer.from('acme'))),
      ],
      'DC=acme,DC=test',
    ],
    [
      'a part of two',
      [setOf(sequence(oid(CN), utf8String('a')), sequence(oid('2.5.4.11'), utf8String('b')))],
      'CN=a+OU=b',
    ],
    ['what separates', [part(CN, utf8String('a,b+c=d;e'))], String.raw`CN=a\,b\+c=d\;e`],
    ['quotes, brackets and strokes', [part(CN, utf8String(String.raw`"<\>`))], String.raw`CN=\"\<\\\>`],
    ['spaces at either end', [part(CN, utf8String(' a b '))], String.raw`CN=\ a b\ `],
    ['one space', [part(CN, utf8String(' '))], String.raw`CN=\ `],
    ['a hash in front', [part(CN, utf8String('#1#'))], String.raw`CN=\#1#`],
    ['control characters', [part(CN, utf8String('a\n\0\u0085'))], String.raw`CN=a\0a\00\c2\85`],
    ['letters of any language', [part(CN, utf8String('Größe 株'))], 'CN=Größe 株'],
    [
      'a type without a short name',
      [part('1.2.840.113549.1.9.1', utf8String('a'))],
      '1.2.840.113549.1.9.1=#0c0161',
    ],
    ['a text that is not UTF-8', [part(CN, element(0x0c, Buffer.of(0xff)))], 'CN=#0c01ff'],
    ['a text of another kind', [part(CN, element(0x1e, Buffer.of(0, 0x61)))], 'CN=#1e020061'],
  ]
  for (const [name, parts, expected] of cases) {
    test(name, () => assert.equal(nameOf(...parts), expected))
  }

  test('a name that tries to look like another does not', () => {
    assert.notEqual(
      nameOf(part(CN, utf8String('CA,O=Acme'))),
      nameOf(part('2.5.4.10', utf8String('Acme')), part(CN, utf8String('CA'))),
    )
  })
})
