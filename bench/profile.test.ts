import assert from 'node:assert/strict'
import { test } from 'node:test'
import { profileOf, selfTimes } from './profile.ts'

const ROOT = 'file:///home/me/portcullis/'

function node(id: number, functionName: string, url: string, lineNumber: number) {
  return { id, callFrame: { functionName, url, lineNumber, columnNumber: 0, scriptId: '1' } }
}

const PROFILE = {
  nodes: [
    node(1, '(root)', '', -1),
    node(2, 'parse', `${ROOT}src/oci/manifest.ts`, 9),
    // The same function, called from elsewhere.
    node(3, 'parse', `${ROOT}src/oci/manifest.ts`, 9),
    node(4, '', 'file:///home/me/portcullis/node_modules/lru-cache/index.js', 99),
    node(5, '(garbage collector)', '', -1),
  ],
  startTime: 0,
  endTime: 0,
  samples: [2, 3, 4, 4, 5, 1],
  timeDeltas: [1000, 10, 20, 30, 40, 5],
}

test('a function has the time from each of its samples to the next, from wherever it was called', () => {
  assert.deepEqual(selfTimes(PROFILE, ROOT), [
    { name: '(anonymous)', place: 'lru-cache/index.js:100', us: 70 },
    { name: 'parse', place: 'src/oci/manifest.ts:10', us: 30 },
    { name: '(garbage collector)', place: '', us: 5 },
  ])
})

test('a profile without samples has no times', () => {
  assert.deepEqual(selfTimes({ nodes: PROFILE.nodes, startTime: 0, endTime: 0 }, ROOT), [])
})

test('a profile is of what runs meanwhile', async () => {
  const profile = await profileOf(async () => {
    for (let until = performance.now() + 50; performance.now() < until;) await Promise.resolve()
  })
  assert.ok(selfTimes(profile, ROOT).some(({ place }) => place.includes('profile.test.ts')))
})
