import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ancestorsOf } from './ancestors.ts'
import type { Digest } from './oci/digest.ts'
import { digest, openState, repository } from './store/testing/state.ts'

const APP = repository('acme/app')
const IMAGE = digest('image')

function setUp() {
  const { state } = openState()
  const names = (parent: string, ...children: readonly Digest[]): Digest => {
    state.addClosure(APP, digest(parent), { children, blobs: [], isEvidence: false })
    return digest(parent)
  }
  return { names, ancestors: () => ancestorsOf(state, APP, IMAGE) }
}

test('an image that nothing names has none, and those are all', () => {
  assert.deepEqual(setUp().ancestors(), { digests: new Set(), isWhole: true })
})

test('each once, the nearest first, however many ways lead to it', () => {
  const { names, ancestors } = setUp()
  const [a, b] = [names('a', IMAGE), names('b', IMAGE)]
  const top = names('top', a, b, IMAGE)
  const { digests, isWhole } = ancestors()
  assert.deepEqual(digests, new Set([a, b, top]))
  assert.ok(isWhole)
})

test('four deep, and what is deeper is known to be left out', () => {
  const { names, ancestors } = setUp()
  let child = IMAGE
  for (let depth = 1; depth <= 4; depth++) child = names(`level ${depth}`, child)
  assert.deepEqual([ancestors().digests.size, ancestors().isWhole], [4, true])
  names('level 5', child)
  assert.deepEqual([ancestors().digests.size, ancestors().isWhole], [4, false])
})

test('64 of them, and not one parent with all that is above it', () => {
  const { names, ancestors } = setUp()
  const parents = Array.from({ length: 10 }, (_, index) => names(`parent ${index}`, IMAGE))
  for (let index = 0; index < 54; index++) names(`grandparent ${index}`, ...parents)
  assert.deepEqual([ancestors().digests.size, ancestors().isWhole], [64, true])
  names('one more', ...parents)
  const { digests, isWhole } = ancestors()
  assert.deepEqual([digests.size, isWhole], [64, false])
  assert.ok(parents.every((parent) => digests.has(parent)))
})
