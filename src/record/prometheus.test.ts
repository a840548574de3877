import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as all from 'prom-client'
import { Counter, Gauge, Histogram, Registry } from './prometheus.ts'

test('what is loaded by itself is what prom-client gives', () => {
  assert.equal(Counter, all.Counter)
  assert.equal(Gauge, all.Gauge)
  assert.equal(Histogram, all.Histogram)
  assert.ok(new Registry() instanceof all.Registry)
})

const readings: Readonly<Record<string, (registry: Registry) => Promise<boolean>>> = {
  text: async (registry) => (await registry.metrics()).includes('process_resident_memory_bytes '),
  JSON: async (registry) =>
    (await registry.getMetricsAsJSON()).some(({ name }) => name === 'process_resident_memory_bytes'),
}

for (const [form, tellsOfProcess] of Object.entries(readings)) {
  test(`figures of the process are added by who asks first, and once: ${form}`, async () => {
    const registry = new Registry()
    assert.deepEqual(registry.getMetricsAsArray(), [])
    assert.deepEqual(await Promise.all([tellsOfProcess(registry), tellsOfProcess(registry)]), [true, true])
    assert.ok(await tellsOfProcess(registry))
  })
}
