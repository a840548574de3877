import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { foldKey } from './json-text.ts'
import { parseStrictJson, StrictJsonError, type StrictJsonErrorCode } from './strict-json.ts'

function refuses(bytes: Uint8Array, code: StrictJsonErrorCode): void {
  assert.throws(
    () => parseStrictJson(bytes),
    (error) => error instanceof StrictJsonError && error.code === code,
  )
}

describe('refuses', () => {
  const cases: Record<string, [text: string, code: StrictJsonErrorCode]> = {
    nothing: ['', 'syntax'],
    'a byte order mark': ['\uFEFF{}', 'syntax'],
    'a second value': ['{} {}', 'syntax'],
    'trailing text': ['{}x', 'syntax'],
    'a trailing NUL': ['{}\0', 'syntax'],
    'a trailing comma': ['{"a":1,}', 'syntax'],
    'a comment': ['{/**/}', 'syntax'],
    'a string without end': ['{"a', 'syntax'],
    'a string that ends in a backslash': ['{"a\\"', 'syntax'],
    'a key with a bad escape': ['{"\\x":1}', 'syntax'],
    'a bracket without end': ['[', 'syntax'],
    'a bracket too many': ['[]]', 'syntax'],
    'a mixed pair of brackets': ['[}', 'syntax'],
    'white space that is not JSON': ['\u00a0{}', 'syntax'],
    'a key twice': ['{"a":1,"a":1}', 'duplicate-key'],
    'a key twice, once escaped': ['{"manifests":1,"\\u006danifests":2}', 'duplicate-key'],
    'a key twice, around a nested object': ['{"a":{"b":1},"a":2}', 'duplicate-key'],
    'a key twice, deep down': ['[{"x":[{"a":1,"b":2,"a":3}]}]', 'duplicate-key'],
    'a key twice, behind strings that look like structure': [
      '{"a":"},{\\"","b":"\\\\","a":0}',
      'duplicate-key',
    ],
    'the empty key twice': ['{"":1,"":2}', 'duplicate-key'],
    '__proto__ twice': ['{"__proto__":1,"__proto__":2}', 'duplicate-key'],
    'keys that differ by case': ['{"layers":1,"Layers":2}', 'case-variant-key'],
    'keys that differ by case, once escaped': ['{"layers":1,"\\u004cayers":2}', 'case-variant-key'],
    'keys that differ by long s': ['{"layers":1,"layer\u017f":2}', 'case-variant-key'],
    'keys that differ by the Kelvin sign': ['{"k":1,"\u212a":2}', 'case-variant-key'],
    'annotations that differ by case': ['{"annotations":{"a.b":"1","A.b":"2"}}', 'case-variant-key'],
    'keys that Go reads as U+FFFD': ['{"\\ud800":1,"\\ud801":2}', 'case-variant-key'],
    'a document that nests too deep': ['['.repeat(33) + ']'.repeat(33), 'depth'],
    'a million open brackets': ['['.repeat(1_000_000), 'depth'],
    'too many elements': [`[${'1,'.repeat(100_000)}1]`, 'size'],
    'too many empty arrays': [`[${'[],'.repeat(100_000)}[]]`, 'size'],
  }
  for (const [name, [text, code]] of Object.entries(cases)) {
    test(name, () => refuses(Buffer.from(text), code))
  }
  test('bytes that are not UTF-8', () => refuses(Buffer.from('{"a":"\xff"}', 'latin1'), 'utf8'))
  test('an overlong encoding', () => refuses(Buffer.of(0x22, 0xc1, 0xa1, 0x22), 'utf8'))
  test('an encoded surrogate', () => refuses(Buffer.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'utf8'))
  test('UTF-16', () => refuses(Buffer.from('\uFEFF{}', 'utf16le'), 'utf8'))
  test('the end of a character whose start was refused before', () => {
    refuses(Buffer.of(0x22, 0xc3), 'utf8')
    refuses(Buffer.of(0xa9, 0x22), 'utf8')
    assert.equal(parseStrictJson(Buffer.from('"é"')), 'é')
  })
})

describe('accepts', () => {
  const cases: Record<string, string> = {
    'one key in two objects': '[{"a":1},{"a":2},{"b":{"a":3}}]',
    'a key as a value': '{"a":"a","b":"a"}',
    'strings in an array that repeat': '["a","a",{"a":["a","a"]}]',
    'a key after a nested array': '{"a":[1,2],"b":[{"a":1}]}',
    'escapes at the end of a string': '{"a\\\\":1,"a\\"":2,"a":"\\\\\\""}',
    'keys that are names of Object.prototype': '{"__proto__":{"a":1},"constructor":1}',
    'white space around it': ' \t\r\n{ "a" : 1 }\n',
    'a bare value': '"a"',
    'the deepest nesting': '['.repeat(32) + ']'.repeat(32),
  }
  for (const [name, text] of Object.entries(cases)) {
    test(name, () => assert.deepEqual(parseStrictJson(Buffer.from(text)), JSON.parse(text)))
  }
})

test('agrees with JSON.parse on documents whose keys are distinct', () => {
  const key = fc.string({ unit: 'grapheme', maxLength: 5 })
  const { document } = fc.letrec<{ document: unknown }>((tie) => ({
    document: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: 'binary' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(null, true, false),
      fc.array(tie('document'), { maxLength: 4 }),
      fc
        .uniqueArray(fc.tuple(key, tie('document')), { maxLength: 5, selector: ([name]) => foldKey(name) })
        .map((entries) => Object.fromEntries(entries)),
    ),
  }))
  fc.assert(
    fc.property(document, fc.constantFrom(undefined, 2), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      assert.deepEqual(parseStrictJson(Buffer.from(text)), JSON.parse(text))
    }),
  )
})

test('finds a repeated key wherever it is put and however it is written', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(names, fc.nat(), fc.nat(), fc.boolean(), (keys, from, to, escaped) => {
      const repeated = keys[from % keys.length] ?? ''
      const literal = escaped
        ? `"\\u${repeated.charCodeAt(0).toString(16).padStart(4, '0')}${repeated.slice(1)}"`
        : JSON.stringify(repeated)
      const members = keys.map((name) => `${JSON.stringify(name)}:[{"a":"}"}]`)
      members.splice(to % (keys.length + 1), 0, `${literal}:0`)
      refuses(Buffer.from(`{"outer":[{${members.join(',')}}]}`), 'duplicate-key')
    }),
  )
})

test('never fails but by StrictJsonError', () => {
  const pieces = fc.array(
    fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', ':', 'a', '1', ' ', '\\u0061', '\uFEFF'),
  )
  fc.assert(
    fc.property(pieces, (parts) => {
      const text = parts.join('')
      try {
        assert.deepEqual(parseStrictJson(Buffer.from(text)), JSON.parse(text))
      } catch (error) {
        assert.ok(error instanceof StrictJsonError, String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

test('a fold is the same for every pair that Unicode simple case folding takes for one', () => {
  // The u and i flags of a RegExp compare by simple case folding, which is what Go does.
  const byUpper = new Map<string, string[]>()
  for (let point = 1; point < 0x1ffff; point++) {
    if (point >= 0xd800 && point <= 0xdfff) continue
    const char = String.fromCodePoint(point)
    for (const other of new Set([char.toLowerCase(), char.toUpperCase()])) {
      if (other !== char) byUpper.set(other, [...(byUpper.get(other) ?? []), char])
    }
  }
  for (const [other, chars] of byUpper) {
    for (const char of chars) {
      if (new RegExp(`^${RegExp.escape(other)}$`, 'iu').test(char))
        assert.equal(foldKey(char), foldKey(other))
    }
  }
})
