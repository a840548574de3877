import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { answerTuf, type TufFile } from './tuf.ts'

const FILES: ReadonlyMap<string, TufFile> = new Map([
  ['timestamp.json', { bytes: Buffer.from('t'), isImmutable: false }],
  ['12.root.json', { bytes: Buffer.from('root'), isImmutable: true }],
  ['targets/registry.npmjs.org/abc.keys.json', { bytes: Buffer.from('keys'), isImmutable: true }],
  ['../secret', { bytes: Buffer.from('secret'), isImmutable: true }],
])
const asked: string[] = []
const repositories = new Map([
  [
    'corp',
    (path: string) => {
      asked.push(path)
      return FILES.get(path)
    },
  ],
])

suite('answerTuf', () => {
  for (const [path, file] of [...FILES].slice(0, 3)) {
    test(`${path} comes byte for byte`, async () => {
      const { status, headers, body } = await answerTuf(`/tuf/corp/${path}`, repositories)
      assert.deepEqual([status, body], [200, file.bytes])
      assert.equal(headers['content-length'], String(file.bytes.length))
      assert.match(headers['cache-control'] ?? '', file.isImmutable ? /immutable/ : /no-cache/)
    })
  }
  for (const [name, target] of [
    ['another repository', '/tuf/other/timestamp.json'],
    ['a file that is not there', '/tuf/corp/99.root.json'],
    ['no file', '/tuf/corp/'],
    ['no repository', '/tuf/'],
    ['a name that no repository has', '/tuf/__proto__/timestamp.json'],
  ]) {
    test(`404: ${name}`, async () => {
      assert.equal((await answerTuf(target ?? '', repositories)).status, 404)
    })
  }
  for (const target of [
    '/tuf/corp/../secret',
    '/tuf/corp/a/../../secret',
    '/tuf/corp/%2e%2e/secret',
    '/tuf/corp//etc/passwd',
    '/tuf/corp/.hidden',
    '/tuf/corp/timestamp.json?x=1',
    '/tuf/corp/timestamp.json#x',
    '/tuf/corp/a\\b',
    `/tuf/corp/${'a/'.repeat(20)}b`,
    `/tuf/corp/${'a'.repeat(5000)}`,
  ]) {
    test(`never looked for: ${target.slice(0, 40)}`, async () => {
      asked.length = 0
      assert.equal((await answerTuf(target, repositories)).status, 404)
      assert.deepEqual(asked, [])
    })
  }
})
