import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { wavesOf } from './waves.ts'

function span(startMs: number, endMs: number): { startMs: number; endMs: number } {
  return { startMs, endMs }
}

describe('wavesOf', () => {
  const cases = [
    { what: 'nothing', spans: [], waves: 0 },
    { what: 'one request', spans: [span(0, 20)], waves: 1 },
    { what: 'four at once', spans: [span(0, 20), span(1, 21), span(2, 22), span(0, 25)], waves: 1 },
    { what: 'one after the other', spans: [span(0, 20), span(20, 40), span(41, 60)], waves: 3 },
    {
      what: 'a manifest, then four at once, then one',
      spans: [span(0, 20), ...[21, 22, 23].map((at) => span(at, at + 20)), span(45, 65)],
      waves: 3,
    },
    {
      what: 'one that lasts as long as all others together',
      spans: [span(0, 100), span(0, 20), span(20, 40), span(40, 60)],
      waves: 3,
    },
    { what: 'any order', spans: [span(40, 60), span(0, 20), span(20, 40)], waves: 3 },
  ]
  for (const { what, spans, waves } of cases) it(what, () => assert.equal(wavesOf(spans), waves))
})
