import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { createMetrics } from '../record/metrics.ts'
import { createWorkerMetrics, MetricsSum } from './metrics.ts'

type Figures = { registry: Registry; pulls: Counter<'outcome'>; took: Histogram; waiting: Gauge; own: Gauge }

function figures(): Figures {
  const registry = new Registry()
  const registers = [registry]
  return {
    registry,
    pulls: new Counter({ name: 'pulls_total', help: 'h', labelNames: ['outcome'] as const, registers }),
    took: new Histogram({ name: 'took_seconds', help: 'h', buckets: [1, 2], registers }),
    waiting: new Gauge({ name: 'waiting', help: 'h', registers }),
    own: new Gauge({ name: 'own', help: 'h', aggregator: 'first', registers }),
  }
}

async function textOf(sum: MetricsSum, keeper: Figures, answered: readonly number[]): Promise<string> {
  return await sum.text(await keeper.registry.getMetricsAsJSON(), new Set(answered))
}

test('the figures of all processes are one: counters, histograms and gauges add up, or as the gauge says', async () => {
  const [keeper, one, two] = [figures(), figures(), figures()]
  one.pulls.inc({ outcome: 'serve' }, 3)
  two.pulls.inc({ outcome: 'serve' }, 4)
  two.pulls.inc({ outcome: 'refuse' })
  one.took.observe(0.5)
  two.took.observe(1.5)
  one.waiting.set(2)
  two.waiting.set(3)
  keeper.own.set(7)
  two.own.set(9)
  const sum = new MetricsSum()
  sum.note(11, await one.registry.getMetricsAsJSON())
  sum.note(12, await two.registry.getMetricsAsJSON())
  const text = await textOf(sum, keeper, [11, 12])
  for (const line of [
    'pulls_total{outcome="serve"} 7',
    'pulls_total{outcome="refuse"} 1',
    'took_seconds_bucket{le="1"} 1',
    'took_seconds_bucket{le="2"} 2',
    'took_seconds_bucket{le="+Inf"} 2',
    'took_seconds_sum 2',
    'took_seconds_count 2',
    'waiting 5',
    'own 7',
  ])
    assert.ok(text.split('\n').includes(line), `${line} in ${text}`)
})

test('what a process that ended had counted goes on counting, and its gauges do not', async () => {
  const [keeper, one, two] = [figures(), figures(), figures()]
  one.pulls.inc({ outcome: 'serve' }, 3)
  one.took.observe(0.5)
  one.waiting.set(2)
  two.pulls.inc({ outcome: 'serve' }, 5)
  const sum = new MetricsSum()
  sum.note(11, await one.registry.getMetricsAsJSON())
  await sum.end(11)
  sum.note(12, await two.registry.getMetricsAsJSON())
  await sum.end(12)
  sum.note(13, await figures().registry.getMetricsAsJSON())
  const text = await textOf(sum, keeper, [13])
  assert.match(text, /^pulls_total\{outcome="serve"\} 8$/m)
  assert.match(text, /^took_seconds_count 1$/m)
  assert.match(text, /^waiting 0$/m)
})

test('counters do not fall while processes end, however many at once', async () => {
  const keeper = figures()
  const sum = new MetricsSum()
  for (const pid of [11, 12, 13]) {
    const one = figures()
    one.pulls.inc({ outcome: 'serve' }, pid)
    // oxlint-disable-next-line no-await-in-loop -- three
    sum.note(pid, await one.registry.getMetricsAsJSON())
  }
  const own = await keeper.registry.getMetricsAsJSON()
  const ending = [11, 12, 13].map(async (pid) => await sum.end(pid))
  assert.match(await sum.text(own, new Set()), /^pulls_total\{outcome="serve"\} 36$/m)
  await Promise.all(ending)
  assert.match(await sum.text(own, new Set()), /^pulls_total\{outcome="serve"\} 36$/m)
})

test('exits of workers are counted from nothing, each way of them', async () => {
  const registry = new Registry()
  createWorkerMetrics(registry)
  const text = await registry.metrics()
  for (const how of ['exit', 'signal', 'behind'])
    assert.ok(text.includes(`portcullis_worker_exits_total{how="${how}"} 0`), how)
})

test('of a process that does not answer its last counters are in it, and no gauge', async () => {
  const [keeper, one] = [figures(), figures()]
  one.pulls.inc({ outcome: 'serve' }, 3)
  one.waiting.set(2)
  const sum = new MetricsSum()
  sum.note(11, await one.registry.getMetricsAsJSON())
  const text = await textOf(sum, keeper, [])
  assert.match(text, /^pulls_total\{outcome="serve"\} 3$/m)
  assert.match(text, /^waiting 0$/m)
})

test('every metric of the proxy can be added up', async () => {
  const [keeper, one] = [createMetrics(), createMetrics()]
  one.httpRequests.inc('manifest', 'GET', 200)
  const sum = new MetricsSum()
  sum.note(11, await one.registry.getMetricsAsJSON())
  const text = await sum.text(await keeper.registry.getMetricsAsJSON(), new Set([11]))
  assert.match(text, /^portcullis_http_requests_total\{route="manifest",method="GET",status="200"\} 1$/m)
})
