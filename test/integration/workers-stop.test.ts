import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startRegistry } from '../../src/testing/registry.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { writeConfiguration } from './harness.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('a keeper that is told to end while its workers begin ends in order', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-workers-stop-'))
  const [registry, sigstore] = [await startRegistry(), await createSigstore()]
  try {
    const config = { workers: 2, log: { level: 'debug' } }
    const path = await writeConfiguration(directory, { registry, sigstore, options: { config } })
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', path], { env: {} })
    const ended = once(child, 'exit')
    const events: Record<string, unknown>[] = []
    createInterface(child.stdout).on('line', (line) => {
      const event: Record<string, unknown> = JSON.parse(line)
      events.push(event)
      if (event['kind'] === 'started' && event['worker'] === 2) child.kill('SIGTERM')
    })
    assert.deepEqual(await ended, [0, null])
    const begun = events.filter(({ event }) => event === 'start')
    assert.deepEqual(begun, [], 'nobody is told that it is ready')
  } finally {
    await registry.stop()
    await rm(directory, { recursive: true, force: true })
  }
})
