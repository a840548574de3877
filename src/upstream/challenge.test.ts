import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseChallenges } from './challenge.ts'

const cases: Record<string, [string | string[] | undefined, [string, Record<string, string>][]]> = {
  'Docker Hub': [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
    [
      [
        'bearer',
        {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull',
        },
      ],
    ],
  ],
  'commas and quotes inside a quoted string': [
    'Bearer scope="repository:a:pull,push", realm="a \\"b\\" \\\\c"',
    [['bearer', { scope: 'repository:a:pull,push', realm: 'a "b" \\c' }]],
  ],
  'several challenges in one field': [
    'Negotiate abc123==, Bearer realm="r" , service=s,Basic realm="b"',
    [
      ['negotiate', {}],
      ['bearer', { realm: 'r', service: 's' }],
      ['basic', { realm: 'b' }],
    ],
  ],
  'several fields': [
    ['Basic realm="b"', 'bearer REALM=r'],
    [
      ['basic', { realm: 'b' }],
      ['bearer', { realm: 'r' }],
    ],
  ],
  'a scheme without parameters': ['Negotiate', [['negotiate', {}]]],
  'empty list elements and white space': [', ,  Basic \t realm = "b" ,,', [['basic', { realm: 'b' }]]],
  'an unquoted URL, which the grammar forbids and servers send': [
    'Bearer realm=https://r.example/t,service=s',
    [['bearer', { realm: 'https://r.example/t', service: 's' }]],
  ],
  'a repeated parameter: the first counts': ['Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
  'an open quote ends the reading': [
    'Basic realm="b", Bearer realm="x',
    [
      ['basic', { realm: 'b' }],
      ['bearer', {}],
      ['realm', {}],
    ],
  ],
  'a parameter without a scheme': ['realm="r"', []],
  'an overlong field': [`Basic realm="${'a'.repeat(9_000)}"`, []],
  'no field': [undefined, []],
}

describe('parseChallenges', () => {
  for (const [name, [header, expected]] of Object.entries(cases)) {
    test(name, () => {
      const found = parseChallenges(header).map((one) => [one.scheme, Object.fromEntries(one.params)])
      assert.deepEqual(found, expected)
    })
  }
})
