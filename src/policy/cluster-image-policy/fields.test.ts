import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { convert } from '../../testing/foreign-policies.ts'

describe('every field of the published schema', () => {
  // pkg/apis/policy/v1beta1/clusterimagepolicy_types.go; the value is of the wrong type, so that each is looked at.
  const fields = [
    ...['images', 'authorities', 'policy', 'mode', 'match'].map((field) => `spec.${field}`),
    'spec.images[0].glob',
    ...[
      'name',
      'key',
      'keyless',
      'static',
      'source',
      'ctlog',
      'attestations',
      'rfc3161timestamp',
      'signatureFormat',
    ].map((field) => `spec.authorities[0].${field}`),
    ...['secretRef', 'data', 'kms', 'hashAlgorithm'].map((field) => `spec.authorities[0].key.${field}`),
    ...['url', 'identities', 'ca-cert', 'trustRootRef', 'insecureIgnoreSCT'].map(
      (field) => `spec.authorities[0].keyless.${field}`,
    ),
    ...['issuer', 'subject', 'issuerRegExp', 'subjectRegExp'].map(
      (field) => `spec.authorities[0].keyless.identities[0].${field}`,
    ),
    ...['action', 'message'].map((field) => `spec.authorities[0].static.${field}`),
    ...['url', 'trustRootRef'].map((field) => `spec.authorities[0].ctlog.${field}`),
    'spec.authorities[0].rfc3161timestamp.trustRootRef',
    ...['name', 'predicateType', 'policy'].map((field) => `spec.authorities[0].attestations[0].${field}`),
    ...[
      'type',
      'data',
      'remote',
      'configMapRef',
      'fetchConfigFile',
      'includeSpec',
      'includeObjectMeta',
      'includeTypeMeta',
    ].map((field) => `spec.policy.${field}`),
  ]
  for (const field of fields) {
    it(`${field} is known`, () => {
      const { refusals } = convert(nested(field, 'x'))
      assert.ok(
        !refusals.some((one) => one.startsWith(`${field}: found a field that nobody knows`)),
        refusals.join('\n'),
      )
    })
    it(`${field}x is not`, () => {
      const { refusals } = convert(nested(`${field}x`, 'x'))
      assert.ok(
        refusals.some((one) => one.startsWith(`${field}x: found a field that nobody knows`)),
        refusals.join('\n'),
      )
    })
  }
})

/** A document with this field, and no more than it takes for the field to be looked at. */
function nested(path: string, leaf: unknown): unknown {
  const parts = path.split(/[.[\]]+/).filter((part) => part !== '')
  const value = parts.reduceRight<unknown>(
    (inner, part) => (part === '0' ? [inner] : { ...beside(part), [part]: inner }),
    leaf,
  )
  return {
    apiVersion: 'policy.sigstore.dev/v1beta1',
    kind: 'ClusterImagePolicy',
    metadata: { name: 'a' },
    ...(value as object),
  }
}

function beside(part: string): object {
  const isOfAuthority = /^(?:attestations|ctlog|rfc3161timestamp)x?$/.test(part)
  return isOfAuthority ? { keyless: { identities: [{ issuer: 'i', subject: 's' }] } } : {}
}
