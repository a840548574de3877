import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseQuery } from './query.ts'

describe('parseQuery', () => {
  const good: Record<string, [text: string | undefined, query: Record<string, string>]> = {
    none: [undefined, {}],
    empty: ['', {}],
    'encoded by Go': ['ns=127.0.0.1%3A5000', { ns: '127.0.0.1:5000' }],
    'not encoded': ['ns=127.0.0.1:5000', { ns: '127.0.0.1:5000' }],
    'an encoded name': ['n%73=ghcr.io', { ns: 'ghcr.io' }],
    several: ['n=1&last=a', { n: '1', last: 'a' }],
    'an empty value': ['ns=&n=1', { n: '1' }],
    'a name alone': ['ns', {}],
    'an equals sign in a value': ['a=b=c', { a: 'b=c' }],
    'decoded once': ['a=%2525', { a: '%25' }],
    'a plus is itself': ['a=b+c', { a: 'b+c' }],
    'a semicolon separates nothing': ['a=b;ns=c', { a: 'b;ns=c' }],
    'names of Object.prototype': ['__proto__=1', Object.fromEntries([['__proto__', '1']])],
  }
  for (const [name, [text, query]] of Object.entries(good)) {
    test(`reads: ${name}`, () => assert.deepEqual(Object.fromEntries(parseQuery(text) ?? []), query))
  }

  const bad: Record<string, string> = {
    'a name twice': 'ns=a&ns=b',
    'a name twice, the same value': 'ns=a&ns=a',
    'a name twice, once encoded': 'ns=a&%6es=b',
    'a name twice, once empty': 'ns=&ns=a',
    'an unknown name twice': 'x=1&x=1',
    'a lone percent': 'a=%',
    'a short escape': 'a=%2',
    'a false escape': 'a=%zz',
    'not UTF-8': 'a=%ff',
    'an encoded NUL': 'ns=ghcr.io%00',
    'an encoded line feed': 'ns=ghcr.io%0a',
    'beyond ASCII': 'a=%C3%A9',
    'no name': '=a',
    'an empty parameter': 'a=1&&b=2',
    'a trailing ampersand': 'a=1&',
    'a character of no URI': 'a=<b>',
    'a fragment': 'a=1#b',
    'a backslash': 'a=\\',
  }
  for (const [name, text] of Object.entries(bad)) {
    test(`refuses: ${name}`, () => assert.equal(parseQuery(text), undefined))
  }
})
