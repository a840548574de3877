import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseKmsReference } from './kms-reference.ts'

const ID = '1234abcd-12ab-34cd-56ef-1234567890ab'
const MULTI_REGION_ID = 'mrk-1234abcd12ab34cd56ef1234567890ab'
const KEY_ARN = `arn:aws:kms:us-east-2:111122223333:key/${ID}`
const ALIAS_ARN = 'arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/team/release_1'

suite('parseKmsReference', () => {
  const accepted: readonly (readonly [string, string, string | undefined, string, string | undefined])[] = [
    ['a key id', `awskms:///${ID}`, undefined, ID, undefined],
    ['a multi-region key id', `awskms:///${MULTI_REGION_ID}`, undefined, MULTI_REGION_ID, undefined],
    ['an alias', 'awskms:///alias/release', undefined, 'alias/release', undefined],
    ['an alias with slashes', 'awskms:///alias/team/release', undefined, 'alias/team/release', undefined],
    ['a key ARN', `awskms:///${KEY_ARN}`, undefined, KEY_ARN, 'us-east-2'],
    ['an alias ARN', `awskms:///${ALIAS_ARN}`, undefined, ALIAS_ARN, 'us-gov-west-1'],
    [
      'a host and port',
      'awskms://localhost:4566/alias/release',
      'localhost:4566',
      'alias/release',
      undefined,
    ],
    ['a host', `awskms://kms.example.test/${KEY_ARN}`, 'kms.example.test', KEY_ARN, 'us-east-2'],
    ['an IPv4 address', `awskms://127.0.0.1:5000/${ID}`, '127.0.0.1:5000', ID, undefined],
    ['an IPv6 address', `awskms://[::1]:5000/${ID}`, '[::1]:5000', ID, undefined],
  ]
  for (const [name, text, endpoint, keyId, region] of accepted) {
    test(name, () => {
      assert.deepEqual(parseKmsReference(text), { ok: true, reference: { text, endpoint, keyId, region } })
    })
  }

  test('the host is no longer its own spelling; the name of the key is', () => {
    const result = parseKmsReference('awskms://KMS.Example.test:443/alias/Release')
    assert.equal(result.ok && result.reference.text, 'awskms://kms.example.test:443/alias/Release')
  })

  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['nothing', '', /found no awskms:\/\//],
    ['another case', `AWSKMS:///${ID}`, /found no awskms:\/\//],
    ['a bare alias', 'alias/release', /found no awskms:\/\//],
    ['no slash', 'awskms://alias', /there are three/],
    ['two slashes instead of three', 'awskms://alias/release', /malformed KEY/],
    ['no key', 'awskms:///', /malformed KEY/],
    ['an alias without a name', 'awskms:///alias/', /malformed KEY/],
    ['an alias with a space', 'awskms:///alias/a b', /malformed KEY/],
    ['an alias that is too long', `awskms:///alias/${'a'.repeat(251)}`, /malformed KEY/],
    ['a key id without dashes', `awskms:///${ID.replaceAll('-', '')}`, /malformed KEY/],
    ['more after the key id', `awskms:///${ID}/x`, /malformed KEY/],
    ['a line end after the key id', `awskms:///${ID}\n`, /malformed KEY/],
    ['an ARN of another service', `awskms:///${KEY_ARN.replace(':kms:', ':s3:')}`, /malformed KEY/],
    ['an ARN without an account', `awskms:///${KEY_ARN.replace('111122223333', '')}`, /malformed KEY/],
    ['an ARN without a region', `awskms:///${KEY_ARN.replace('us-east-2', '')}`, /malformed KEY/],
    ['credentials', `awskms://user:secret@kms.example.test/${ID}`, /malformed host/],
    ['a port out of range', `awskms://kms.example.test:65536/${ID}`, /malformed host/],
    ['a port that is none', `awskms://kms.example.test:/${ID}`, /malformed host/],
    ['a query', `awskms://kms.example.test?x=1/${ID}`, /malformed host/],
    ['an address that is none', `awskms://127.0.0.256/${ID}`, /malformed host/],
    ['an IPv6 address that is none', `awskms://[:::]/${ID}`, /malformed host/],
    ['a host of dashes', `awskms://-a-/${ID}`, /malformed host/],
    ['far too much', `awskms://${'a.'.repeat(400)}/${ID}`, /characters/],
  ]
  for (const [name, text, message] of refused) {
    test(`${name}: refused`, () => {
      const result = parseKmsReference(text)
      assert.ok(!result.ok)
      assert.match(result.message, message)
      assert.match(result.message, /expected awskms:/)
      assert.doesNotMatch(result.message, /secret/)
    })
  }

  const elsewhere = [
    'gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1',
    'azurekms://vault.example.test/key',
    'hashivault://release',
    'openbao://release',
    'k8s://namespace/secret',
    'gitlab://group/project',
  ]
  for (const text of elsewhere) {
    test(`${text}: refused with the way to export the key`, () => {
      const result = parseKmsReference(text)
      assert.ok(!result.ok)
      assert.ok(result.message.includes(`cosign public-key --key ${text} > key.pub`), result.message)
      assert.match(result.message, /key\.file/)
    })
  }

  test('a pkcs11 URI is not repeated: it may carry the PIN', () => {
    const result = parseKmsReference('pkcs11:token=t;object=k?pin-value=1234')
    assert.ok(!result.ok)
    assert.match(result.message, /cosign public-key --key pkcs11:… > key\.pub/)
    assert.doesNotMatch(result.message, /1234/)
  })

  test('what would be more than a word in a shell is not repeated either', () => {
    const result = parseKmsReference('gcpkms://x; rm -rf y')
    assert.ok(!result.ok)
    assert.doesNotMatch(result.message, /rm/)
  })
})
