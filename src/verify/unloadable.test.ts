import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { registerHooks } from 'node:module'
import { after, test } from 'node:test'
import { createConnections } from '../connections.ts'
import { EvidenceError, toEvidenceError, VerifierError } from './evidence-error.ts'
import { verifyDigest } from './signature-scheme.ts'

/** Code that is loaded when it is first needed, at a moment when no file can be opened. */

const world = { isFull: true }
const hooks = registerHooks({
  load(url, context, next) {
    if (world.isFull && /noble\/curves|undici/.test(url))
      throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
    return next(url, context)
  },
})
after(() => hooks.deregister())

test('a signature is not called bad because its verifier cannot be loaded', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signed = Buffer.from('signed')
  const digest = createHash('sha256').update(signed).digest()
  const check = (): boolean => verifyDigest(digest, publicKey, sign('sha256', signed, privateKey), 'sha256')
  world.isFull = true
  assert.throws(check, VerifierError)
  world.isFull = false
  assert.equal(check(), true)
})

test('what stands in the way of verifying never becomes a failure of the evidence', () => {
  assert.throws(() => toEvidenceError(new VerifierError('cannot be loaded')), VerifierError)
  assert.ok(toEvidenceError(new TypeError('of the bytes')) instanceof EvidenceError)
})

test('connections that could not be made are made for the next request', async () => {
  const connections = createConnections({})
  const ask = async (): Promise<unknown> =>
    await connections.request({ origin: 'http://127.0.0.1:1', path: '/', method: 'GET' })
  world.isFull = true
  await assert.rejects(ask(), { code: 'EMFILE' })
  world.isFull = false
  await assert.rejects(ask(), { code: 'ECONNREFUSED' })
  await connections.destroy()
})
