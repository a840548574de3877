import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { celOfConditions } from './condition.ts'
import { convertReference } from './image-reference.ts'

describe('a reference with wildcards', () => {
  const cases: readonly (readonly [string, string | RegExp])[] = [
    ['*', '**'],
    ['ghcr.io/*', 'ghcr.io/**'],
    ['ghcr.io/acme/app*', 'ghcr.io/acme/app**'],
    ['ghcr.io/acme/app:*', 'ghcr.io/acme/app'],
    ['ghcr.io/*/app:*', 'ghcr.io/**/app'],
    ['*/app:*', '**/app'],
    ['docker.io/*', 'docker.io/**'],
    ['docker.io/library/nginx:*', 'docker.io/library/nginx'],
    ['ghcr.io/acme/app', /matches nothing in Kyverno/],
    ['ghcr.io/acme/app:v1*', /one tag or digest/],
    ['ghcr.io/acme/app@sha256:*', /one tag or digest/],
    ['acme/app:*', /begins with no registry/],
    ['ghcr*', /begins with no registry/],
    ['docker.io/nginx:*', /docker\.io\/library/],
    ['ghcr.io/acme/ap?:*', /whose \?/],
    ['{{ a }}', /a variable/],
  ]
  for (const [source, expected] of cases) {
    it(source, () => {
      const result = convertReference(source)
      if (typeof expected === 'string') assert.equal(result.ok && result.glob, expected)
      else assert.match(result.ok ? result.glob : result.reason, expected)
    })
  }
})

describe('conditions as CEL', () => {
  const cases: readonly (readonly [string, string, readonly string[] | RegExp])[] = [
    [
      'all',
      '[{all: [{key: "{{ a.b[0] }}", operator: NotEquals, value: 1}, {key: "{{ c }}", operator: LessThan, value: 7}]}]',
      ['statement.predicate.a.b[0] != 1', 'statement.predicate.c < 7'],
    ],
    [
      'any',
      '[{any: [{key: "{{ a }}", operator: Equals, value: true}, {key: "{{ b }}", operator: AnyIn, value: [x, y]}]}]',
      ['statement.predicate.a == true || statement.predicate.b in ["x", "y"]'],
    ],
    [
      'a wildcard',
      '[{all: [{key: "{{ a }}", operator: Equals, value: "x.*"}]}]',
      ['statement.predicate.a.matches("^x\\\\..*$")'],
    ],
    [
      'a match',
      `[{all: [{key: "{{ regex_match('^x','{{ a.b }}') }}", operator: Equals, value: true}]}]`,
      ['statement.predicate.a.b.matches("^x")'],
    ],
    ['a projection', '[{all: [{key: "{{ a[].b }}", operator: Equals, value: 1}]}]', /more than a member/],
    ['a duration', '[{all: [{key: "{{ a }}", operator: DurationGreaterThan, value: 1h}]}]', /has no equal/],
    ['a version', '[{all: [{key: "{{ a }}", operator: GreaterThan, value: 1.10.0}]}]', /orders texts/],
    ['another quantity', '[{all: [{key: "{{ a }}", operator: NotEquals, value: 1h}]}]', /the same quantity/],
    [
      'another text',
      '[{all: [{key: "{{ a }}", operator: NotEquals, value: x}]}]',
      ['statement.predicate.a != "x"'],
    ],
    ['a variable', '[{all: [{key: "{{ a }}", operator: Equals, value: "{{ b }}"}]}]', /more than a constant/],
    ['a mapping', '[{all: [{key: "{{ a }}", operator: Equals, value: {}}]}]', /more than a constant/],
    ['none', '[{none: []}]', /neither any nor all/],
  ]
  for (const [name, written, expected] of cases) {
    it(name, () => {
      const result = celOfConditions(parse(written) as unknown[])
      if (expected instanceof RegExp) assert.match(result.ok ? 'derived' : result.why, expected)
      else assert.deepEqual(result, { ok: true, conditions: expected })
    })
  }
})
