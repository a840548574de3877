import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plotSvg } from './plot.ts'
import type { Plot } from './scenario.ts'

const BARS: Plot = {
  kind: 'bars',
  name: 'rate',
  title: 'A < B & "C"',
  unit: 'requests/s',
  groups: [
    {
      label: 'GET',
      bars: [
        { label: 'ours', value: 50, low: 40, high: 80 },
        { label: 'nginx', value: 100 },
      ],
    },
    { label: 'HEAD', bars: [{ label: 'ours', value: 25, low: 25, high: 25 }] },
  ],
}

const LINES: Plot = {
  kind: 'lines',
  name: 'p99',
  title: 'p99',
  unit: 'ms',
  xUnit: 'minutes',
  series: [
    {
      label: 'ours',
      points: [
        [0, 1],
        [10, 4.2],
      ],
    },
  ],
}

function widths(svg: string): readonly number[] {
  return [...svg.matchAll(/<rect x="[^"]+" y="[^"]+" width="([\d.]+)"/g)].map(([, width]) => Number(width))
}

describe('plotSvg', () => {
  it('draws bars as long as their values, the longest whisker filling the room', () => {
    const [ours = 0, nginx = 0, head = 0] = widths(plotSvg(BARS))
    assert.ok(Math.abs(nginx / ours - 2) < 0.01)
    assert.ok(Math.abs(ours / head - 2) < 0.01)
  })
  it('draws whiskers where the rounds differ, and only there', () => {
    assert.equal(plotSvg(BARS).split('class="whisker"').length - 1, 3)
  })
  it('keeps one colour a label over all groups', () => {
    const colours = [...plotSvg(BARS).matchAll(/height="16" fill="(#\w+)"/g)].map(([, colour]) => colour)
    assert.equal(colours[0], colours[2])
    assert.notEqual(colours[0], colours[1])
  })
  it('escapes what a label says, and keeps it as text', () => {
    assert.ok(plotSvg(BARS).includes('>A &lt; B &amp; &quot;C&quot;</text>'))
  })
  it('gives the same bytes for the same figures, for both schemes of colour', () => {
    assert.equal(plotSvg(BARS), plotSvg(structuredClone(BARS)))
    assert.ok(plotSvg(BARS).includes('prefers-color-scheme: dark'))
  })
  it('draws lines over round ticks, from zero', () => {
    const svg = plotSvg(LINES)
    assert.match(svg, /<polyline class="line" stroke="#\w+" points="80,[\d.]+ 768,[\d.]+"\/>/)
    for (const tick of ['>0<', '>5<', '>10<', '>minutes<', '>ms<']) assert.ok(svg.includes(tick), tick)
  })
  it('draws nothing where nothing was measured', () => {
    assert.ok(!plotSvg({ ...BARS, groups: [] }).includes('NaN'))
    const unmeasured = [{ label: 'GET', bars: [{ label: 'ours', value: Number.NaN }] }]
    assert.ok(!plotSvg({ ...BARS, groups: unmeasured }).includes('NaN'))
    assert.ok(!plotSvg({ ...LINES, series: [] }).includes('NaN'))
  })
})
