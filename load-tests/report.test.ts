import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fullPage, median, spreadText, summary, withBlock } from './report.ts'
import type { Scenario, ScenarioResult } from './scenario.ts'

const RESULT: ScenarioResult = {
  conditions: ['quiet machine'],
  tables: [
    { columns: ['server', 'requests/s'], rows: [['nginx', '100']] },
    { title: 'More', columns: ['x'], rows: [['1']] },
  ],
  plots: [{ kind: 'bars', name: 'rate', title: 'Rates', unit: 'requests/s', groups: [] }],
  checks: [{ name: 'ratio', ok: false, found: '0.2', wanted: 'at least 0.5' }],
}
const SCENARIO: Scenario = { name: 'warm', about: 'About it.', tools: [], run: () => Promise.resolve(RESULT) }
const FACTS = {
  command: 'npm run load -- --scenario warm',
  date: '2026-11-23',
  machine: '2 cores of X',
  node: 'v26',
  commit: 'abc',
}

describe('figures', () => {
  it('takes the middle of an odd and of an even number of values', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
  })
  it('says the spread where there is one', () => {
    assert.equal(spreadText([30, 10, 20], 0), '20 (10–30)')
    assert.equal(spreadText([12.345], 1), '12.3')
  })
})

describe('pages', () => {
  it('the full one has conditions, every table, every plot and what is checked', () => {
    const page = fullPage(SCENARIO, RESULT, FACTS)
    for (const part of [
      '# Load: warm\n',
      '`npm run load -- --scenario warm`, commit abc, 2026-11-23, node v26, 2 cores of X.',
      '- quiet machine',
      '| server | requests/s |\n| --- | --- |\n| nginx | 100 |',
      '**More**',
      '![Rates](warm-rate.svg)',
      '| ratio | 0.2 | at least 0.5 | **no** |',
    ])
      assert.ok(page.includes(part), part)
  })
  it('the summary has the first table and the first plot, and says where the rest is', () => {
    const text = summary(SCENARIO, RESULT, FACTS, 'results')
    assert.ok(text.includes('| nginx | 100 |'))
    assert.ok(text.includes('![Rates](results/warm-rate.svg)'))
    assert.ok(text.includes('(results/warm.md)'))
    assert.ok(!text.includes('More'))
  })
})

describe('what a program printed', () => {
  const printed = { ...RESULT, output: '\u001B[1mms\u001B[0m 12\n\n' }
  const block = '```\nms 12\n```'
  it('is on the full page', () => assert.ok(fullPage(SCENARIO, printed, FACTS).includes(block)))
  it('is in the summary', () => assert.ok(summary(SCENARIO, printed, FACTS, 'results').includes(block)))
})

describe('withBlock', () => {
  const block = (name: string, text: string) =>
    `<!-- load: begin ${name} -->\n\n${text}\n\n<!-- load: end ${name} -->`
  const PAGE = `# Results\n\nby hand\n\n${block('a', 'old a')}\n\nby hand too\n\n${block('b', 'old b')}\n\nthe end\n`

  it('replaces what stands between the markers and nothing else', () => {
    assert.equal(withBlock(PAGE, 'a', 'new a'), PAGE.replace('old a', 'new a'))
  })
  it('puts a block that is new behind the last', () => {
    const page = withBlock(PAGE, 'c', 'new c')
    assert.equal(page, PAGE.replace('\n\nthe end', `\n\n${block('c', 'new c')}\n\nthe end`))
  })
  it('puts the first block to the end', () => {
    assert.equal(withBlock('# Results\n', 'a', 'text'), `# Results\n\n${block('a', 'text')}\n`)
  })
  it('gives the same page again for the same block', () => {
    const once = withBlock(PAGE, 'c', 'text')
    assert.equal(withBlock(once, 'c', 'text'), once)
  })
})
