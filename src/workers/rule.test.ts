import assert from 'node:assert/strict'
import { generateKeyPairSync, hash } from 'node:crypto'
import { describe, test } from 'node:test'
import { deserialize, serialize } from 'node:v8'
import { createTrustSnapshot, type TrustSnapshot } from '../trust/snapshot.ts'
import { parseTrustRoot } from '../trust/trust-root.ts'
import { createSigstore } from '../testing/sigstore.ts'
import type { HeldKey } from '../verify/types.ts'
import { KeeperRule } from './keeper-rule.ts'
import type { Rule } from './messages.ts'
import { snapshotOf, trustDataOf, type TrustData } from './trust-data.ts'

/** As a message arrives in the other process. */
function sent(data: TrustData): TrustData {
  return deserialize(serialize(data))
}

function heldKey(changes: Partial<HeldKey> = {}): HeldKey {
  const { publicKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const id = `sha256:${hash('sha256', key.export({ format: 'der', type: 'spki' }), 'hex')}`
  const scheme = { hash: 'sha512' } as const
  return {
    key: { id, key, scheme },
    validFrom: undefined,
    validUntil: undefined,
    isCurrent: true,
    isRetiring: false,
    ...changes,
  }
}

async function snapshot(): Promise<TrustSnapshot> {
  const [old, current] = await Promise.all([createSigstore(), createSigstore()])
  return createTrustSnapshot({
    roots: [
      parseTrustRoot('ours', current.trustedRootJson()),
      { ...parseTrustRoot('ours', old.trustedRootJson()), isRetiring: true },
    ],
    unusable: new Map([['theirs', 'too old']]),
    keys: new Map([
      [
        'keys:release',
        { kind: 'held', keys: [heldKey(), heldKey({ validUntil: new Date(9), isRetiring: true })] },
      ],
      ['awskms:///alias/gone', { kind: 'missing', dependency: 'kms', message: 'never obtained' }],
    ]),
  })
}

describe('trust on its way to a worker', () => {
  test('loses nothing', async () => {
    const before = await snapshot()
    const after = snapshotOf(sent(trustDataOf(before)), undefined)
    assert.deepEqual(trustDataOf(after), trustDataOf(before))
    assert.equal(after.version, before.version)
    for (const root of after.roots.get('ours')!) assert.equal(root.material.tlogs.length, 2)
  })

  test('is not parsed again where it is known', async () => {
    const before = await snapshot()
    const first = snapshotOf(sent(trustDataOf(before)), undefined)
    const second = snapshotOf(sent(trustDataOf(before)), first)
    for (const [index, root] of second.roots.get('ours')!.entries())
      assert.equal(root.material, first.roots.get('ours')![index]!.material)
  })

  const tampers: readonly (readonly [string, (data: TrustData) => TrustData, RegExp])[] = [
    [
      'a root that is missing',
      (data) => ({ ...data, roots: data.roots.slice(1) }),
      /^found trust .*, expected /,
    ],
    ['a key that is missing', (data) => ({ ...data, keys: new Map() }), /^found trust .*, expected /],
    [
      'a root that does not parse',
      (data) => ({ ...data, roots: data.roots.map((root) => ({ ...root, json: '{}' })) }),
      /^trust root ours: /,
    ],
  ]
  for (const [name, tamper, message] of tampers) {
    test(`that came out otherwise is not trusted: ${name}`, async () => {
      const data = tamper(sent(trustDataOf(await snapshot())))
      assert.throws(() => snapshotOf(data, undefined), { name: 'TypeError', message })
    })
  }
})

describe('what the keeper has workers go by', () => {
  const DRILL = { dependencies: ['registry'], by: 'x', startedAt: new Date(1), endsAt: new Date(2) } as const

  test('reaches them in one message for one turn, and in order', async () => {
    const rule = new KeeperRule()
    const spread: Rule[] = []
    rule.follow(async (changes) => {
      spread.push(changes)
      await Promise.resolve()
    })
    const trust = await snapshot()
    rule.trust(trust)
    rule.drill(DRILL)
    await rule.settled()
    assert.equal(spread.length, 1)
    assert.deepEqual(
      [spread[0]!.trust?.version, spread[0]!.drill, spread[0]!.policies],
      [trust.version, DRILL, undefined],
    )
    rule.drill(undefined)
    await rule.settled()
    assert.deepEqual([spread.length, spread[1]!.trust, spread[1]!.drill], [2, undefined, null])
    assert.deepEqual([rule.whole.trust?.version, rule.whole.drill], [trust.version, null])
  })

  test('is settled only when what changed meanwhile is, too', async () => {
    const rule = new KeeperRule()
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const begun: Rule[] = []
    rule.follow(async (changes) => await gates[begun.push(changes) - 1]!.promise)
    rule.drill(DRILL)
    let isSettled = false
    const settled = rule.settled().then(() => (isSettled = true))
    await new Promise((resolve) => setImmediate(resolve))
    rule.drill(undefined)
    gates[0]!.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([begun.length, isSettled], [2, false])
    gates[1]!.resolve()
    await settled
    assert.equal(isSettled, true)
  })
})
