import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTokenMatcher, tokenHash, tokenOf } from './token.ts'

const TOKEN = 'e3b0c44298fc1c149afbf4c8996fb924'

function basic(pair: string): string {
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

const HEADERS: Readonly<Record<string, [authorization: string | undefined, token: string | undefined]>> = {
  Bearer: [`Bearer ${TOKEN}`, TOKEN],
  'the scheme in any case': [`bEARER ${TOKEN}`, TOKEN],
  'password of Basic': [basic(`anybody:${TOKEN}`), TOKEN],
  'password without a name': [basic(`:${TOKEN}`), TOKEN],
  'password with colons': [basic(`a:b:c`), 'b:c'],
  'no header': [undefined, undefined],
  'an empty header': ['', undefined],
  'an empty Bearer': ['Bearer ', undefined],
  'an empty password': [basic('anybody:'), undefined],
  'a name alone': [basic(TOKEN), undefined],
  'another scheme': [`Digest ${TOKEN}`, undefined],
  'no scheme': [TOKEN, undefined],
  'two tokens': [`Bearer ${TOKEN}, Bearer other`, undefined],
  'two tokens without comma': [`Bearer ${TOKEN} other`, undefined],
}

for (const [name, [authorization, token]] of Object.entries(HEADERS)) {
  test(`token: ${name}`, () => assert.equal(tokenOf(authorization), token))
}

const matches = createTokenMatcher([tokenHash('first'), tokenHash(TOKEN)])

for (const [name, token, is] of [
  ['one of them', TOKEN, true],
  ['another of them', 'first', true],
  ['a beginning of it', TOKEN.slice(0, -1), false],
  ['more than it', `${TOKEN}0`, false],
  ['its hash', tokenHash(TOKEN), false],
  ['in capitals', TOKEN.toUpperCase(), false],
  ['the empty one', '', false],
  ['none', undefined, false],
] as const) {
  test(`known token: ${name}`, () => assert.equal(matches(token), is))
}
