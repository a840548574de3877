import assert from 'node:assert/strict'
import test from 'node:test'
import { parseSize, size } from './quantities.ts'

const SIZES: readonly (readonly [text: string, bytes: number | undefined])[] = [
  ['0', 0],
  ['1024', 1024],
  ['5B', 5],
  ['64MiB', 64 * 1024 * 1024],
  ['64 MiB', 64 * 1024 * 1024],
  ['1.5GiB', 1.5 * 1024 ** 3],
  ['1GB', 1e9],
  ['20TiB', 20 * 1024 ** 4],
  ['', undefined],
  ['MiB', undefined],
  ['-1MiB', undefined],
  ['1e3', undefined],
  ['64mib', undefined],
  ['64M', undefined],
  ['1MiB 2MiB', undefined],
]

for (const [text, bytes] of SIZES) {
  test(`size ${JSON.stringify(text)}`, () => assert.equal(parseSize(text), bytes))
}

test('a size is text or bytes', () => {
  const schema = size('1KiB', '1MiB')
  assert.deepEqual([schema.parse('2KiB'), schema.parse(2048)], [2048, 2048])
  for (const wrong of ['2MiB', 1023, 1024.5, true]) assert.equal(schema.safeParse(wrong).success, false)
})
