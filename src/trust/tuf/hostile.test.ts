import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { suite, test } from 'node:test'
import { hostileRepository, targetOf, type HostileRole, type TargetsJson } from '../../testing/tuf-hostile.ts'
import { createTufKey } from '../../testing/tuf-key.ts'
import { createMirrorUnderTest, never, type MirrorUnderTest } from '../../testing/tuf-mirror.ts'
import type { FetchBytes } from './fetch.ts'
import type { TufMirror } from './mirror.ts'

const BASE = 'http://127.0.0.1:1'
const KEY = createTufKey()
const STRANGER = createTufKey()

type Contents = Readonly<Record<string, string>>
type Hostile = {
  readonly top: TargetsJson
  readonly roles?: Readonly<Record<string, HostileRole>>
  /** Served below `targets/`. */
  readonly contents?: Contents
}

function named(path: string, content: string): string {
  const [base, ...folders] = path.split('/').toReversed()
  return [...folders.toReversed(), `${hash('sha256', content, 'hex')}.${base}`].join('/')
}

async function mirrorOf({ top, roles = {}, contents = {} }: Hostile): Promise<{
  mirror: TufMirror
  under: MirrorUnderTest
  asked: string[]
}> {
  const files = hostileRepository(top, roles)
  for (const [path, content] of Object.entries(contents)) {
    files.set(`targets/${named(path, content)}`, Buffer.from(content))
  }
  const asked: string[] = []
  const fetch: FetchBytes = async (url, { bytesMax }) => {
    const file = decodeURIComponent(url.slice(BASE.length + 1))
    asked.push(url.slice(BASE.length + 1))
    const bytes = files.get(file)
    if (bytes === undefined) return { status: 404, bytes: Buffer.alloc(0) }
    assert.ok(bytes.length <= bytesMax, `${file} is larger than it may be`)
    return { status: 200, bytes }
  }
  const root = files.get('1.root.json')
  assert.ok(root !== undefined)
  const under = await createMirrorUnderTest({ url: BASE, root: () => root })
  return { mirror: await under.open({ deps: { fetch } }), under, asked }
}

const CHILD = { name: 'child', key: KEY }
const signed = (role: TargetsJson = {}): HostileRole => ({ ...role, signers: [KEY] })

function chain(length: number): Record<string, HostileRole> {
  const roles = Array.from({ length }, (_, index) => [
    index === 0 ? 'child' : `role${index}`,
    signed({ delegations: [{ name: `role${index + 1}`, key: KEY }] }),
  ])
  return Object.fromEntries(roles)
}

suite('a repository that signs nonsense', () => {
  const many = Object.fromEntries(Array.from({ length: 513 }, (_, index) => [`t${index}`, targetOf('x')]))
  const refused: readonly (readonly [string, Hostile, RegExp])[] = [
    [
      'a path that climbs',
      { top: { targets: { '../x': targetOf('x') } } },
      /target \.\.\/x: not a plain path/,
    ],
    ['a path within that climbs', { top: { targets: { 'a/../x': targetOf('x') } } }, /not a plain path/],
    ['an absolute path', { top: { targets: { '/etc/passwd': targetOf('x') } } }, /not a plain path/],
    ['an empty path', { top: { targets: { '': targetOf('x') } } }, /not a plain path/],
    ['no hash at all', { top: { targets: { x: { length: 1, hashes: {} } } } }, /no SHA-2 hash/],
    ['a weak hash alone', { top: { targets: { x: { length: 1, hashes: { md5: 'aa' } } } } }, /no SHA-2 hash/],
    [
      'a hash that is a path',
      { top: { targets: { x: { length: 1, hashes: { sha256: '../../root' } } } } },
      /a hash that is no hash/,
    ],
    [
      'a hash that nobody knows',
      { top: { targets: { x: { length: 1, hashes: { sha256: 'aa', own: 'aa' } } } } },
      /unknown hash own/,
    ],
    [
      'a target that is too large',
      { top: { targets: { x: { length: 17_000_000, hashes: { sha256: 'aa' } } } } },
      /target x: more than 16777216 bytes/,
    ],
    [
      'more targets than can be parsed in time',
      { top: { targets: many } },
      /1\.targets\.json: something in it has 513 members, more than 512/,
    ],
    [
      'a delegated role that a stranger signed',
      { top: { delegations: [CHILD] }, roles: { child: { signers: [STRANGER] } } },
      /1\.child\.json: child was signed by 0\/1 keys/,
    ],
    [
      'a role with two delegators, signed for one of them',
      {
        top: {
          delegations: [
            { name: 'a', key: KEY },
            { name: 'b', key: KEY },
          ],
        },
        roles: {
          a: signed({ delegations: [CHILD] }),
          b: signed({ delegations: [{ name: 'child', key: STRANGER }] }),
          child: signed(),
        },
      },
      /child\.json: child was signed by 0\/1 keys/,
    ],
    ['a chain of delegations without end', { top: { delegations: [CHILD] }, roles: chain(12) }, /too deep/],
    [
      'more roles than anyone needs',
      { top: { delegations: Array.from({ length: 300 }, (_, index) => ({ name: `r${index}`, key: KEY })) } },
      /delegations: more than 256/,
    ],
    [
      'four thousand million bins',
      { top: { bins: { bits: 32, key: KEY } } },
      /delegations: more than 256 roles/,
    ],
  ]
  for (const [name, hostile, message] of refused) {
    test(`${name}: refused`, async () => {
      const { mirror, under } = await mirrorOf(hostile)
      await using _ = under
      await assert.rejects(mirror.refresh(never()), { name: 'TrustError', code: 'refused', message })
      assert.equal(mirror.state(), undefined)
    })
  }
})

suite('a repository that is odd, and right', () => {
  test('a circle of delegations', async () => {
    const { mirror, under } = await mirrorOf({
      top: { delegations: [CHILD] },
      roles: {
        child: signed({ delegations: [{ name: 'other', key: KEY }] }),
        other: signed({ delegations: [CHILD], targets: { x: targetOf('deep') } }),
      },
      contents: { x: 'deep' },
    })
    await using _ = under
    await mirror.refresh(never())
    assert.equal(mirror.target('x')?.toString(), 'deep')
  })

  test('the first role that has a target wins, and a terminating one ends the search', async () => {
    const { mirror, under } = await mirrorOf({
      top: {
        delegations: [
          { name: 'first', key: KEY, paths: ['a', 'b'] },
          { name: 'second', key: KEY, paths: ['b', 'c'], terminating: true },
          { name: 'third', key: KEY },
        ],
      },
      roles: {
        first: signed({ targets: { b: targetOf('first b') } }),
        second: signed({ targets: { b: targetOf('second b') } }),
        third: signed({
          targets: { a: targetOf('third a'), c: targetOf('third c'), d: targetOf('third d') },
        }),
      },
      contents: { a: 'third a', b: 'first b', d: 'third d' },
    })
    await using _ = under
    await mirror.refresh(never())
    const found = ['a', 'b', 'c', 'd'].map((path) => mirror.target(path)?.toString())
    assert.deepEqual(found, ['third a', 'first b', undefined, 'third d'])
  })

  test('a role that is delegated to and not published ends the searches that meet it', async () => {
    const { mirror, under } = await mirrorOf({
      top: {
        delegations: [
          { name: 'missing', key: KEY, paths: ['a'] },
          { name: 'child', key: KEY },
        ],
      },
      roles: { child: signed({ targets: { a: targetOf('a'), b: targetOf('b') } }) },
      contents: { b: 'b' },
    })
    await using _ = under
    await mirror.refresh(never())
    assert.deepEqual([mirror.target('a'), mirror.target('b')?.toString()], [undefined, 'b'])
  })

  test('bins', async () => {
    // By the first bit of the path's hash (TAP 15).
    const owner = Number.parseInt(hash('sha256', 'x', 'hex').slice(0, 1), 16) < 8 ? 'bin-0' : 'bin-1'
    const { mirror, under } = await mirrorOf({
      top: { bins: { bits: 1, key: KEY } },
      roles: { 'bin-0': signed(), 'bin-1': signed(), [owner]: signed({ targets: { x: targetOf('x') } }) },
      contents: { x: 'x' },
    })
    await using _ = under
    await mirror.refresh(never())
    assert.equal(mirror.target('x')?.toString(), 'x')
  })

  test('names that need encoding are asked for encoded, and served by what they are', async () => {
    const role = '../a b/?#%'
    const { mirror, under, asked } = await mirrorOf({
      top: { delegations: [{ name: role, key: KEY }], targets: { 'c d/e?f#g%': targetOf('odd') } },
      roles: { [role]: signed() },
      contents: { 'c d/e?f#g%': 'odd' },
    })
    await using _ = under
    await mirror.refresh(never())
    assert.ok(asked.includes(`${encodeURIComponent(`1.${role}`)}.json`))
    assert.ok(asked.some((path) => path.startsWith('targets/c%20d/') && path.endsWith('.e%3Ff%23g%25')))
    assert.ok(mirror.file(`1.${role}.json`) !== undefined)
    assert.equal(mirror.target('c d/e?f#g%')?.toString(), 'odd')
  })

  test('names that objects have anyway', async () => {
    const { mirror, under } = await mirrorOf({
      top: {
        targets: { constructor: targetOf('c'), toString: targetOf('t') },
        delegations: [{ name: 'valueOf', key: KEY }],
      },
      roles: { valueOf: signed() },
      contents: { constructor: 'c', toString: 't' },
    })
    await using _ = under
    await mirror.refresh(never())
    assert.equal(mirror.target('constructor')?.toString(), 'c')
    assert.equal(mirror.target('hasOwnProperty'), undefined)
    assert.equal(mirror.file('constructor'), undefined)
  })
})
