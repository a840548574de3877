import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Frames, sendFrame } from './frames.ts'

function written(...messages: readonly unknown[]): Buffer {
  const pieces: Buffer[] = []
  const socket = { write: (piece: Buffer) => pieces.push(piece) > 0 }
  for (const message of messages) sendFrame(socket as never, message)
  return Buffer.concat(pieces)
}

const MESSAGES = [
  { kind: 'ask', id: 1, ring: undefined },
  { body: Buffer.alloc(100_000, 'x'), at: new Date(0), byRing: new Map([['canary', 'enforce']]) },
  'last',
]

describe('messages on a socket', () => {
  for (const sizeBytes of [1, 3, 4, 5, 1000, 65_536, 1_000_000])
    test(`come out as they went in, in pieces of ${sizeBytes} bytes`, () => {
      const bytes = written(...MESSAGES)
      const frames = new Frames()
      const got: unknown[] = []
      for (let at = 0; at < bytes.length; at += sizeBytes)
        got.push(...frames.push(bytes.subarray(at, at + sizeBytes)))
      assert.deepEqual(got, MESSAGES)
    })

  test('one that is not whole is none', () => {
    assert.deepEqual(new Frames().push(written('cut').subarray(0, -1)), [])
  })

  test('one that is too large is not waited for', () => {
    const head = Buffer.alloc(4)
    head.writeUInt32LE(16 * 1024 * 1024 + 1)
    assert.throws(
      () => new Frames().push(head),
      /found a message of 16777217 bytes, expected at most 16777216/,
    )
  })

  for (const [what, message] of [
    ['what cannot be cloned', { answer: () => undefined }],
    ['what the other side would not take', Buffer.alloc(16 * 1024 * 1024)],
  ] as const)
    test(`${what} is not begun`, () => {
      const pieces: Buffer[] = []
      const socket = { write: (piece: Buffer) => pieces.push(piece) > 0 }
      assert.throws(() => sendFrame(socket as never, message))
      assert.deepEqual(pieces, [])
    })
})
