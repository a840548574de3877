import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AggregatorRegistry, Histogram, Registry } from 'prom-client'
import { createPullLatency } from './latency.ts'

const BOUNDS = [0.0002, 0.0005, 0.001, 0.01, 0.1, 1]
const QUANTILE = 'portcullis_pull_duration_quantile_seconds'
const DURATION = 'portcullis_pull_duration_seconds'

function setUp() {
  const registry = new Registry()
  const clock = { ms: 0 }
  const latency = createPullLatency(registry, { bounds: BOUNDS, now: () => new Date(clock.ms) })
  const told = async (cache: string) => {
    const metric = (await registry.getMetricsAsJSON()).find(({ name }) => name === QUANTILE)
    const values = metric?.values.filter(({ labels }) => labels['cache'] === cache) ?? []
    return Object.fromEntries(values.map(({ labels, value }) => [String(labels['quantile']), value]))
  }
  return { registry, clock, latency, told }
}

/** Numbers that look like latencies, the same in every run: milliseconds from 1 µs to about a second. */
function samples(count: number): readonly number[] {
  let state = 12_345
  return Array.from({ length: count }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return 10 ** (-3 + (6 * state) / 2 ** 31)
  })
}

const EDGES = [0, 0.000_01, 0.2, 0.200_000_1, 0.5, 1, 10, 100, 1000, 1000.1, 3_600_000]

test('what is scraped is what a histogram of prom-client says of the same pulls', async () => {
  const { registry, latency } = setUp()
  const expected = new Registry()
  const histogram = new Histogram({
    name: DURATION,
    help: 'Time from a parsed manifest request to its answer.',
    labelNames: ['cache'],
    buckets: BOUNDS,
    registers: [expected],
  })
  for (const cache of ['warm', 'cold'] as const) {
    for (const ms of [...EDGES, ...samples(1_000)]) {
      latency.observe(cache, ms)
      histogram.observe({ cache }, ms / 1000)
    }
  }
  const [text, expectedText] = await Promise.all(
    [registry, expected].map(async (one) => await one.getSingleMetricAsString(DURATION)),
  )
  assert.deepEqual(labelled(text), labelled(expectedText))
})

/** Lines with their labels in order. */
function labelled(text = ''): readonly string[] {
  return text
    .trim()
    .split('\n')
    .map((line) =>
      line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(',').toSorted().join()}}`),
    )
}

test('before the first pull nothing is told', async () => {
  const { registry } = setUp()
  for (const name of [DURATION, QUANTILE])
    assert.doesNotMatch(await registry.getSingleMetricAsString(name), /^portcullis/m)
})

for (const count of [1, 2, 99, 1_000, 20_000]) {
  test(`quantiles of ${count}: at most a thirty-second above those of the sorted list, and never below`, async () => {
    const { latency, told } = setUp()
    const all = samples(count)
    for (const ms of all) latency.observe('warm', ms)
    const sorted = all.toSorted((a, b) => a - b)
    const found = await told('warm')
    for (const quantile of [0.5, 0.99, 0.999]) {
      const exact = (sorted[Math.ceil(quantile * count) - 1] ?? 0) / 1000
      const measured = found[String(quantile)] ?? 0
      // What is measured is cut to eighths of a microsecond.
      const tick = 0.000_000_125
      assert.ok(measured >= exact - tick, `${quantile}: ${measured} is below ${exact}`)
      assert.ok(measured <= exact * (1 + 1 / 32) + tick, `${quantile}: ${measured} is far above ${exact}`)
    }
    assert.deepEqual(await told('cold'), {})
  })
}

test('a window and the one before it count, and no older one', async () => {
  const { clock, latency, told } = setUp()
  latency.observe('cold', 1000)
  clock.ms = 60_000
  assert.ok(((await told('cold'))['0.999'] ?? 0) >= 1)
  latency.observe('cold', 1)
  clock.ms = 120_000
  assert.ok(((await told('cold'))['0.999'] ?? 0) >= 1, 'the minute before still counts')
  clock.ms = 180_000
  assert.ok(((await told('cold'))['0.999'] ?? 1) < 0.002, 'the first does not')
  clock.ms = 240_000
  assert.deepEqual(await told('cold'), {})
})

test('several workers: pulls are added up, and of quantiles the slowest is told', async () => {
  const workers = [setUp(), setUp()]
  workers[0]?.latency.observe('warm', 1)
  workers[1]?.latency.observe('warm', 100)
  const each = await Promise.all(workers.map(async ({ registry }) => await registry.getMetricsAsJSON()))
  const text = await AggregatorRegistry.aggregate(each).metrics()
  assert.match(text, /^portcullis_pull_duration_seconds_count\{cache="warm"\} 2$/m)
  const [, slowest] =
    /^portcullis_pull_duration_quantile_seconds\{cache="warm",quantile="0.5"\} (.*)$/m.exec(text) ?? []
  assert.ok(Number(slowest) >= 0.1)
})
