import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { createTally } from './tally.ts'

test('a scrape sees every count once, and a second scrape the same total', async () => {
  const registry = new Registry()
  const tally = createTally(
    { name: 'pulls_total', help: 'Pulls.', labelNames: ['route', 'status'] },
    registry,
  )
  for (let index = 0; index < 3; index += 1) tally.inc('manifest', 200)
  tally.inc('manifest', 403)
  const expected = [
    'pulls_total{route="manifest",status="200"} 3',
    'pulls_total{route="manifest",status="403"} 1',
  ]
  for (const scrape of [await registry.metrics(), await registry.metrics()]) {
    assert.deepEqual(
      scrape.split('\n').filter((line) => line.startsWith('pulls_total')),
      expected,
    )
  }
  tally.inc('manifest', 200)
  assert.match(await registry.metrics(), /status="200"\} 4/)
})
