import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { suite, test } from 'node:test'
import type { Registry } from 'prom-client'
import { parse } from 'yaml'
import * as z from 'zod'
import { createWorkerMetrics } from '../workers/metrics.ts'
import { createDependencyMetrics } from './dependency-metrics.ts'
import { createMetrics } from './metrics.ts'
import { createPolicyMetrics } from './policy-metrics.ts'
import { createTrustMetrics } from './trust-metrics.ts'

/** An alert on a metric that does not exist never fires, and nobody hears of that. */

const ROOT = new URL('../../', import.meta.url)
const RuleFile = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.union([
          z.strictObject({ record: z.string(), expr: z.string() }),
          z.strictObject({
            alert: z.string(),
            expr: z.string(),
            for: z.string().optional(),
            labels: z.strictObject({
              severity: z.enum(['page', 'ticket']),
              objective: z.string().optional(),
            }),
            annotations: z.strictObject({ summary: z.string() }),
          }),
        ]),
      ),
    }),
  ),
})
const { groups } = RuleFile.parse(
  parse(await readFile(new URL('config/alerts/portcullis.rules.yaml', ROOT), 'utf8')),
)
const rules = groups.flatMap((group) => group.rules)
const alerts = rules.flatMap((rule) => ('alert' in rule ? [rule] : []))

/** Values of labels that alerts go by: of closed sets, which the types of this program name. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  cache: ['warm', 'cold'],
  outcome: ['serve', 'admitted', 'would_hold', 'would_refuse', 'hold', 'refuse'],
  stance: ['last-verified', 'open'],
  verdict: ['satisfied', 'violated'],
  dependency: ['registry', 'trust', 'rekor', 'kms', 'rate-limit', 'deadline', 'verifier'],
  state: ['fresh', 'stale', 'unusable'],
}

async function labelsByMetric(): Promise<ReadonlyMap<string, readonly string[]>> {
  const { registry, pullLatency, stepDuration } = createMetrics()
  const others = [createTrustMetrics, createDependencyMetrics, createPolicyMetrics, createWorkerMetrics]
  for (const create of others) create(registry)
  pullLatency.observe('warm', 1)
  stepDuration.observe({ step: 'total' }, 1)
  return new Map(
    registry.getMetricsAsArray().flatMap((metric) => {
      const named: unknown = 'labelNames' in metric ? metric.labelNames : []
      const names = Array.isArray(named) ? named.map(String) : []
      const isHistogram = String(metric.type) === 'histogram'
      const parts = isHistogram ? ['_bucket', '_count', '_sum'] : ['']
      return parts.map((part) => [`${metric.name}${part}`, part === '_bucket' ? [...names, 'le'] : names])
    }),
  )
}

type Selector = {
  readonly metric: string
  readonly labels: readonly (readonly [name: string, value: string])[]
}

/** Every metric in an expression, with the labels that are asked for. */
function selectorsIn(expression: string): readonly Selector[] {
  return [...expression.matchAll(/\b(portcullis[a-z0-9_:]*|[a-z]+_[a-z0-9_]+)(?:\{([^}]*)\})?/g)]
    .filter(([, name = '']) => name.startsWith('portcullis'))
    .map(([, metric = '', inside = '']) => ({
      metric,
      labels: [...inside.matchAll(/([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"/g)].map(
        ([, name = '', value = '']) => [name, value] as const,
      ),
    }))
}

suite('rules', async () => {
  const known = await labelsByMetric()
  const bounds = new Set<string>()
  for (const { name, values } of await createdValues())
    if (name === 'portcullis_pull_duration_seconds')
      for (const { labels } of values) bounds.add(String(labels['le'] ?? ''))
  const recorded = new Set(rules.flatMap((rule) => ('record' in rule ? [rule.record] : [])))

  for (const rule of rules) {
    const name = 'alert' in rule ? rule.alert : rule.record
    test(`${name} asks for what there is`, () => {
      const selectors = selectorsIn(rule.expr)
      assert.ok(selectors.length > 0)
      for (const { metric, labels } of selectors) {
        if (recorded.has(metric)) continue
        const names = known.get(metric)
        assert.ok(names, `there is a metric ${metric}`)
        for (const [label, value] of labels) {
          assert.ok(names.includes(label), `${metric} has a label ${label}`)
          if (label === 'le') assert.ok(bounds.has(value), `${value} is a bound of ${metric}`)
          else assert.ok(VALUES[label]?.includes(value) === true, `${value} is a value of ${label}`)
        }
      }
      // What is aggregated by is what the summary names, and the metric has it.
      for (const [, by = ''] of rule.expr.matchAll(/by \(([^)]*)\)/g))
        for (const label of by.split(', '))
          assert.ok(
            selectors.some(({ metric }) => known.get(metric)?.includes(label) === true),
            label,
          )
    })
  }

  test('every recorded ratio is of some use', () => {
    const used = new Set(alerts.flatMap(({ expr }) => selectorsIn(expr).map(({ metric }) => metric)))
    assert.deepEqual(
      [...recorded].filter((name) => !used.has(name)),
      [],
    )
  })

  test('a summary names only labels that the alert has left', () => {
    for (const { alert, expr, annotations } of alerts) {
      const left = /by \(([^)]*)\)/.exec(expr)?.[1]?.split(', ') ?? []
      for (const [, label = ''] of annotations.summary.matchAll(/\$labels\.([a-z]+)/g))
        assert.ok(left.includes(label), `${alert}: ${label}`)
    }
  })

  test('the page for whoever is woken has a line for each alert, with its severity, and none for others', async () => {
    const page = await readFile(new URL('docs/alerts.md', ROOT), 'utf8')
    const lines = [...page.matchAll(/^\| `(Portcullis[A-Za-z]+)` \| (page|ticket) \|/gm)]
    assert.deepEqual(
      lines.map(([, alert, severity]) => `${alert} ${severity}`).toSorted(),
      alerts.map(({ alert, labels }) => `${alert} ${labels.severity}`).toSorted(),
    )
  })
})

async function createdValues(): ReturnType<Registry['getMetricsAsJSON']> {
  const { registry, pullLatency } = createMetrics()
  pullLatency.observe('warm', 1)
  return await registry.getMetricsAsJSON()
}
