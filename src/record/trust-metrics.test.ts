import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import type { SourceStatus } from '../trust/source.ts'
import { createTrustMetrics } from './trust-metrics.ts'

const STATUS: SourceStatus = {
  name: 'corp',
  kind: 'tuf',
  origin: 'https://tuf.example.com',
  state: 'stale',
  problem: 'old',
  renewedAt: new Date(5_000),
  warnsAt: undefined,
  stopsAt: undefined,
  documents: [{ version: `sha256:${'a'.repeat(64)}`, isRetiring: false }],
  roles: [{ role: 'timestamp', version: 7, expires: new Date(9_000) }],
  servableUntil: undefined,
  held: [
    { what: 'key', name: 'a', from: undefined, until: new Date(20_000), isRetiring: true },
    { what: 'key', name: 'b', from: undefined, until: new Date(10_000), isRetiring: true },
    { what: 'key', name: 'c', from: undefined, until: new Date(1_000), isRetiring: false },
  ],
}

test('what is trusted is shown as it is when it is scraped, and what is gone is gone', async () => {
  const registry = new Registry()
  const metrics = createTrustMetrics(registry)
  let status: readonly SourceStatus[] = [STATUS]
  metrics.watch(() => status)
  const samples = async (): Promise<readonly string[]> =>
    (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  assert.deepEqual(await samples(), [
    'portcullis_trust_root_info{source="corp",version="sha256:aaaaaaaaaaaa"} 1',
    'portcullis_trust_state{source="corp",state="fresh"} 0',
    'portcullis_trust_state{source="corp",state="stale"} 1',
    'portcullis_trust_state{source="corp",state="unusable"} 0',
    'portcullis_trust_renewed_timestamp_seconds{source="corp"} 5',
    'portcullis_trust_role_expiry_timestamp_seconds{source="corp",role="timestamp"} 9',
    'portcullis_trust_retiring_end_timestamp_seconds{source="corp"} 10',
  ])
  status = []
  assert.deepEqual(await samples(), [])
})
