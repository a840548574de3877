import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { suite, test } from 'node:test'
import { KeySetSource, type KeySetOptions } from './key-set.ts'

function pem(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return publicKey.export({ format: 'pem', type: 'spki' })
}

const EDGE = new Date('2026-03-01T00:00:00Z')
const BEFORE = new Date('2026-02-01T00:00:00Z')
const AFTER = new Date('2026-04-01T00:00:00Z')

async function open(files: Record<string, string>, keys: KeySetOptions['keys']): Promise<KeySetSource> {
  const readFile = async (path: string): Promise<string> => {
    const text = files[path]
    if (text === undefined) throw new Error(`ENOENT ${path}`)
    return text
  }
  return await KeySetSource.open(
    { name: 'release', keys, refreshEveryMs: 1000 },
    { readFile, now: () => BEFORE },
  )
}

function heldAt(source: KeySetSource, now: Date): readonly (readonly [string, boolean, boolean])[] {
  const set = source.parts(now).keys.get('keys:release')
  assert.ok(set?.kind === 'held')
  return set.keys.map(({ key, isCurrent, isRetiring }) => [key.id, isCurrent, isRetiring])
}

suite('KeySetSource', () => {
  test('each key counts in its window; the old one is retiring while a successor is there', async () => {
    const files = { 'old.pem': pem(), 'new.pem': pem() }
    const source = await open(files, [{ path: 'old.pem', validUntil: EDGE }, { path: 'new.pem' }])
    const flags = (now: Date) => heldAt(source, now).map(([, ...rest]) => rest)
    assert.deepEqual(flags(BEFORE), [
      [true, true],
      [true, false],
    ])
    assert.deepEqual(flags(AFTER), [
      [false, false],
      [true, false],
    ])
    assert.deepEqual(
      source.status(BEFORE).held.map(({ until, isRetiring }) => [until, isRetiring]),
      [
        [EDGE, true],
        [undefined, false],
      ],
    )
  })

  test('a changed file counts after the next renewal; one that cannot be read changes nothing and is told', async () => {
    const files: Record<string, string> = { 'a.pem': pem() }
    const source = await open(files, [{ path: 'a.pem' }])
    const [first] = heldAt(source, BEFORE)
    files['a.pem'] = pem()
    await source.refresh()
    const [second] = heldAt(source, BEFORE)
    assert.notEqual(second?.[0], first?.[0])
    files['a.pem'] = '-----BEGIN PUBLIC'
    await assert.rejects(source.refresh(), { name: 'TrustError', message: /key set release: a\.pem: found/ })
    assert.deepEqual(heldAt(source, BEFORE), [second])
    assert.match(source.status(BEFORE).problem ?? '', /a\.pem/)
  })

  test('the private key in place of the public one: refused, and not repeated', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const text = privateKey.export({ format: 'pem', type: 'pkcs8' })
    await assert.rejects(open({ 'a.pem': text }, [{ path: 'a.pem' }]), ({ message }: Error) => {
      assert.match(message, /PRIVATE/)
      return !message.includes(text.split('\n')[1] ?? '')
    })
  })

  test('no start with a key that is not there', async () => {
    await assert.rejects(open({}, [{ path: 'a.pem' }]), /a\.pem cannot be read/)
  })

  test('time alone keeps nobody from starting: a set whose windows have ended is told, and holds its keys', async () => {
    const source = await open({ 'a.pem': pem() }, [{ path: 'a.pem', validUntil: new Date(0) }])
    await source.refresh()
    assert.deepEqual(
      heldAt(source, BEFORE).map(([, ...rest]) => rest),
      [[false, false]],
    )
    const { state, problem } = source.status(BEFORE)
    assert.equal(state, 'stale')
    assert.match(problem ?? '', /the time of every key has ended/)
  })
})
