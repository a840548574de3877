import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Registry } from 'prom-client'
import { answer, startFakes, type FakeProcess } from '../testing/worker-processes.ts'
import { Flock } from './flock.ts'
import type { MetricsData } from './messages.ts'

async function counted(value: number): Promise<MetricsData> {
  const registry = new Registry()
  new Counter({ name: 'pulls_total', help: 'h', registers: [registry] }).inc(value)
  return await registry.getMetricsAsJSON()
}

test('a worker that ends during a scrape is counted once, in that scrape and in those after it', async () => {
  const flock = new Flock()
  const setting = startFakes(2, { onEnded: (pid, last) => void flock.ended(pid, last) })
  await setting.begun()
  flock.follow(setting.supervisor)
  const { registry } = flock.metricsOf({ registry: new Registry() }, () => undefined)
  const [first, second] = setting.processes as [FakeProcess, FakeProcess]
  const [three, four] = [await counted(3), await counted(4)]

  const scraped = registry.metrics()
  answer(first, true, three)
  await new Promise((resolve) => setImmediate(resolve))
  first.say({ kind: 'ended', metrics: three })
  first.die({ code: 0, signal: null })
  answer(second, true, four)
  assert.match(await scraped, /^pulls_total 7$/m)

  const again = registry.metrics()
  answer(second, true, four)
  assert.match(await again, /^pulls_total 7$/m)
})
