import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogLines } from './log-lines.ts'

function relay(): { written: string[]; lines: LogLines } {
  const written: string[] = []
  return { written, lines: new LogLines(2, (text) => void written.push(text)) }
}

const CHUNKS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['a line', ['{"a":1}\n'], ['{"worker":2,"a":1}\n']],
  ['several lines', ['{"a":1}\n{"b":2}\n'], ['{"worker":2,"a":1}\n{"worker":2,"b":2}\n']],
  [
    'half a line waits for the other half',
    ['{"a":1}\n{"b"', ':2}\n'],
    ['{"worker":2,"a":1}\n', '{"worker":2,"b":2}\n'],
  ],
  ['a line break in a text is spelled out', ['{"a":"x\\n{"}\n'], ['{"worker":2,"a":"x\\n{"}\n']],
  ['what is no object stays as it is', ['warning\n'], ['warning\n']],
]

for (const [name, chunks, expected] of CHUNKS) {
  test(`log of a worker: ${name}`, () => {
    const { written, lines } = relay()
    for (const chunk of chunks) lines.push(Buffer.from(chunk))
    assert.deepEqual(written, expected)
  })
}

test('log of a worker: a character that is cut in two is one', () => {
  const { written, lines } = relay()
  const bytes = Buffer.from('{"a":"ü"}\n')
  const cut = bytes.indexOf(0xc3) + 1
  lines.push(bytes.subarray(0, cut))
  lines.push(bytes.subarray(cut))
  assert.deepEqual(written, ['{"worker":2,"a":"ü"}\n'])
})

test('log of a worker: the beginning of a last line is written when the process has ended', () => {
  const { written, lines } = relay()
  lines.push(Buffer.from('{"a":'))
  lines.end()
  assert.deepEqual(written, ['{"worker":2,"a":\n'])
})

test('log of a worker: a line without end takes no memory', () => {
  const { written, lines } = relay()
  for (let index = 0; index < 20; index++) lines.push(Buffer.alloc(64 * 1024, 'x'))
  lines.push(Buffer.from('y\n{"a":1}\n'))
  assert.deepEqual(written, ['{"worker":2,"a":1}\n'], 'nor is its end taken for a line')
})
