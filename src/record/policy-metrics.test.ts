import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { digestOf } from '../oci/digest.ts'
import { HELD } from '../policy-source/held.ts'
import { createPolicyMetrics, type PolicyState } from './policy-metrics.ts'

const SINCE = new Date('2027-01-01T00:00:00Z')
const DIGEST = digestOf(Buffer.from('a bundle'))

async function samplesOf(state: PolicyState | undefined): Promise<readonly string[]> {
  const registry = new Registry()
  const metrics = createPolicyMetrics(registry)
  if (state !== undefined) metrics.watch(() => state)
  const lines = (await registry.metrics()).split('\n')
  return lines.filter((line) => line !== '' && !line.startsWith('#'))
}

test('nothing is measured before there are policies', async () => {
  assert.deepEqual(await samplesOf(undefined), [])
})

test('policies that were never had', async () => {
  const trouble = { problems: ['away'], isOutage: true, since: SINCE }
  const inForce = { set: HELD, origin: undefined, since: SINCE }
  assert.deepEqual(await samplesOf({ inForce, trouble, readAt: undefined }), [
    'portcullis_policy_set_info{version="none",bundle=""} 1',
    `portcullis_policy_loaded_timestamp_seconds ${SINCE.getTime() / 1000}`,
    'portcullis_policy_trouble 1',
  ])
})

test('a bundle that expires', async () => {
  const expires = new Date('2027-02-01T00:00:00Z')
  const origin = { kind: 'bundle', repository: 'ghcr.io/a/b', digest: DIGEST, serial: 7, expires } as const
  const inForce = { set: { ...HELD, version: `sha256:${'a'.repeat(64)}` }, origin, since: SINCE }
  assert.deepEqual(await samplesOf({ inForce, trouble: undefined, readAt: SINCE }), [
    `portcullis_policy_set_info{version="sha256:${'a'.repeat(12)}",bundle="${DIGEST.slice(0, 19)}"} 1`,
    `portcullis_policy_loaded_timestamp_seconds ${SINCE.getTime() / 1000}`,
    `portcullis_policy_read_timestamp_seconds ${SINCE.getTime() / 1000}`,
    'portcullis_policy_trouble 0',
    'portcullis_policy_bundle_serial 7',
    `portcullis_policy_bundle_expiry_timestamp_seconds ${expires.getTime() / 1000}`,
  ])
})
