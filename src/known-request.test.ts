import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { WrittenAnswers, type Answer } from './http/answer.ts'
import { answerKnown, type KnownRequest } from './known-request.ts'
import { parseRepository } from './oci/reference.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const RING = { name: 'default', stanceLimit: undefined }

function answerOf(sizeBytes: number): Answer {
  return { status: 200, headers: {}, body: Buffer.alloc(sizeBytes) }
}

/** A request that was learned with an answer of 100 bytes, and what has come of it since. */
function learned() {
  const seen = { answer: answerOf(100), holds: true, looked: 0, noted: 0 }
  const known: KnownRequest = {
    target: '/v2/a/manifests/v1',
    request: {
      method: 'GET',
      repository: parseRepository('ghcr.io', 'a/b') ?? assert.fail(),
      ns: undefined,
      path: '/v2/a/manifests/v1',
      fallsBack: false,
      range: undefined,
      ifRange: undefined,
    },
    facts: { header: () => undefined },
    route: 'manifest',
    sizeBytes: 100,
    answerWarm: () => {
      seen.looked += 1
      return { answer: seen.answer, again: { holds: () => seen.holds, told: () => undefined } }
    },
  }
  const deps = {
    door: { ringOf: () => RING, isClosedTo: () => false },
    written: new WrittenAnswers({ keepAliveSeconds: 5, now: () => NOW }),
    elapsed: () => 0,
    metrics: { httpRequests: { inc: () => undefined } as never },
    requests: { write: () => void (seen.noted += 1) },
  }
  const socket = new Socket()
  return { known, seen, ask: () => answerKnown(known, socket, deps) }
}

describe('a request that is known', () => {
  it('is answered as before for as long as that holds', () => {
    const { known, seen, ask } = learned()
    assert.deepEqual([ask(), ask(), ask()].includes(undefined), false)
    assert.deepEqual([seen.looked, seen.noted], [1, 3])
    assert.equal(known.last?.answer, seen.answer)
  })

  it('keeps no answer that is larger than the memory that is counted for it, and is learned anew', () => {
    const { known, seen, ask } = learned()
    ask()
    seen.holds = false
    seen.answer = answerOf(101)
    assert.notEqual(ask(), undefined, 'this one was noted, so it is answered')
    assert.equal(known.last, undefined)
    assert.equal(ask(), undefined)
    assert.deepEqual([seen.looked, seen.noted], [2, 2], 'the next is left to node:http unnoted')
  })

  it('keeps an answer that has become smaller', () => {
    const { known, seen, ask } = learned()
    ask()
    seen.holds = false
    seen.answer = answerOf(99)
    ask()
    assert.equal(known.last?.answer, seen.answer)
  })
})
