import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { createSigstore, type Sigstore } from '../../testing/sigstore.ts'
import { PinnedSource, type PinnedOptions } from './pinned.ts'

let one: Sigstore
let two: Sigstore

before(async () => {
  ;[one, two] = await Promise.all([createSigstore(), createSigstore()])
})

const UNTIL = new Date('2026-03-01T00:00:00Z')
const BEFORE = new Date('2026-02-28T23:59:59Z')

async function open(files: Record<string, string>, previous?: PinnedOptions['previous'], now = BEFORE) {
  const readFile = async (path: string): Promise<string> => {
    const text = files[path]
    if (text === undefined) throw new Error(`ENOENT ${path}`)
    return text
  }
  const options = { name: 'corp', path: 'new.json', previous, refreshEveryMs: 1000 }
  return await PinnedSource.open(options, { readFile, now: () => now })
}

suite('PinnedSource', () => {
  test('a file is trusted as it is, of any age', async () => {
    const source = await open({ 'new.json': one.trustedRootJson() })
    const [root] = source.parts(new Date('2099-01-01')).roots
    assert.deepEqual([root?.name, root?.json, root?.isRetiring], ['corp', one.trustedRootJson(), false])
    assert.equal(source.status(UNTIL).state, 'fresh')
  })

  test('in a rotation both are trusted until the end, and then the new one alone', async () => {
    const files = { 'new.json': two.trustedRootJson(), 'old.json': one.trustedRootJson() }
    const source = await open(files, { path: 'old.json', until: UNTIL })
    const at = (now: Date) => source.parts(now).roots.map(({ json, isRetiring }) => [json, isRetiring])
    assert.deepEqual(at(BEFORE), [
      [two.trustedRootJson(), false],
      [one.trustedRootJson(), true],
    ])
    assert.deepEqual(at(UNTIL), [[two.trustedRootJson(), false]])
    const retiring = source.status(BEFORE).held.filter(({ isRetiring }) => isRetiring)
    assert.ok(retiring.length > 0)
    assert.ok(retiring.every(({ until }) => until !== undefined && until <= UNTIL))
  })

  test('a changed file is trusted after the next renewal; the same one stays the same object', async () => {
    const files = { 'new.json': one.trustedRootJson() }
    const source = await open(files)
    const [first] = source.parts(BEFORE).roots
    await source.refresh()
    assert.equal(source.parts(BEFORE).roots[0], first)
    files['new.json'] = two.trustedRootJson()
    await source.refresh()
    assert.equal(source.parts(BEFORE).roots[0]?.json, two.trustedRootJson())
  })

  for (const [name, text] of [
    ['gone', undefined],
    ['half written', '{"mediaType": '],
    ['empty', ''],
  ] as const) {
    test(`a file that is ${name} changes nothing and is told`, async () => {
      const files: Record<string, string> = { 'new.json': one.trustedRootJson() }
      const source = await open(files)
      if (text === undefined) delete files['new.json']
      else files['new.json'] = text
      await assert.rejects(source.refresh(), { name: 'TrustError', code: 'trust-root' })
      assert.equal(source.parts(BEFORE).roots[0]?.json, one.trustedRootJson())
      assert.match(source.status(BEFORE).problem ?? '', /corp/)
      files['new.json'] = one.trustedRootJson()
      await source.refresh()
      assert.equal(source.status(BEFORE).problem, undefined)
    })
  }

  test('no start with half of what was configured', async () => {
    const files = { 'new.json': one.trustedRootJson() }
    await assert.rejects(open(files, { path: 'old.json', until: UNTIL }), /old\.json cannot be read/)
    // After its time nobody needs it.
    const source = await open(files, { path: 'old.json', until: UNTIL }, UNTIL)
    assert.equal(source.parts(UNTIL).roots.length, 1)
  })
})
