import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identitiesOf, parseIdentity } from './certificate.ts'

const HEX = 'ab'.repeat(32)
const FINGERPRINT = HEX.toUpperCase().replaceAll(/..(?=.)/g, '$&:')

function identities(subjectAltName: string | undefined): readonly string[] {
  return [...identitiesOf({ fingerprint256: FINGERPRINT, subjectAltName }).identities].slice(1)
}

test('a certificate is known by its fingerprint', () => {
  const { identities: known } = identitiesOf({ fingerprint256: FINGERPRINT, subjectAltName: undefined })
  assert.deepEqual([...known], [`sha256:${HEX}`])
})

const NAMES: Readonly<Record<string, [subjectAltName: string, names: readonly string[]]>> = {
  'all of its names': [
    'URI:spiffe://example.com/build, DNS:Build.example.com',
    ['URI:spiffe://example.com/build', 'DNS:build.example.com'],
  ],
  'a URI keeps its case': ['URI:spiffe://example.com/Build', ['URI:spiffe://example.com/Build']],
  'other kinds of names': [
    'IP Address:10.0.0.1, othername:<unsupported>, email:ops@example.com',
    ['email:ops@example.com'],
  ],
  // A CA that may issue for one URI only must not be able to write another name into it.
  'one that is written to look like two': ['URI:"https://a/, DNS:build.example.com"', []],
  'one such name beside another': ['DNS:build.example.com, URI:"https://a/, b"', []],
}

for (const [name, [subjectAltName, names]] of Object.entries(NAMES)) {
  test(`names: ${name}`, () => assert.deepEqual(identities(subjectAltName), names))
}

for (const [text, parsed] of [
  ['DNS:Build.example.com', 'DNS:build.example.com'],
  ['URI:spiffe://example.com/Build', 'URI:spiffe://example.com/Build'],
  [`sha256:${HEX}`, `sha256:${HEX}`],
  [`sha256:${HEX.slice(2)}`, undefined],
  [`sha256:${HEX.toUpperCase()}`, undefined],
  ['build.example.com', undefined],
  ['DNS:', undefined],
  ['CN:build', undefined],
] as const) {
  test(`configured: ${text}`, () => assert.equal(parseIdentity(text), parsed))
}
