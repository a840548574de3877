import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { test } from 'node:test'
import { whenFirstAsked } from './listeners.ts'
import { listen } from './server.ts'

const answersOk: RequestListener = (_incoming, outgoing) => void outgoing.end('ok')

async function ask(port: number): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}/`)
  return { status: answer.status, text: await answer.text() }
}

test('what answers is loaded by who asks first, and once', async () => {
  let loaded = 0
  const load = async (): Promise<RequestListener> => {
    loaded += 1
    return answersOk
  }
  const listener = await listen({ onRequest: whenFirstAsked(load) }, { host: '127.0.0.1', port: 0 })
  try {
    assert.equal(loaded, 0)
    const { port } = listener.address
    const answers = await Promise.all([ask(port), ask(port), ask(port)])
    assert.deepEqual(new Set(answers.map(({ status, text }) => `${status} ${text}`)), new Set(['200 ok']))
    assert.equal(loaded, 1)
  } finally {
    await listener.close(0)
  }
})

test('what cannot be loaded is said, and loaded for who asks next', async () => {
  let tries = 0
  const load = async (): Promise<RequestListener> => {
    tries += 1
    if (tries === 1) throw new Error('too many open files')
    return answersOk
  }
  const listener = await listen({ onRequest: whenFirstAsked(load) }, { host: '127.0.0.1', port: 0 })
  try {
    const { port } = listener.address
    const failed = await ask(port)
    assert.equal(failed.status, 500)
    assert.match(failed.text, /cannot be loaded: too many open files; try again/)
    assert.deepEqual(await ask(port), { status: 200, text: 'ok' })
  } finally {
    await listener.close(0)
  }
})
