import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { configure } from './cli/configure.ts'
import { createDeps } from './deps.ts'
import { createTufRepository } from './testing/tuf-repository.ts'

for (const refresh of ['on', 'off'] as const) {
  test(`trust.refresh: ${refresh}: ${refresh === 'on' ? 'what was never had is' : 'nothing is'} asked for at the start`, async (context) => {
    const directory = await mkdtemp(join(tmpdir(), 'deps-'))
    const repository = await createTufRepository({ targets: { 'trusted_root.json': '{}' } })
    context.after(async () => {
      await repository.close()
      await rm(directory, { recursive: true })
    })
    await writeFile(join(directory, 'root.json'), repository.root())
    const path = join(directory, 'portcullis.yaml')
    const corp = { kind: 'tuf', url: repository.url, root: 'root.json' }
    const trust = { refresh, roots: { corp } }
    // JSON is YAML.
    await writeFile(path, JSON.stringify({ dataDirectory: 'data', log: { level: 'silent' }, trust }))
    const said: string[] = []
    const io = { stdout: () => undefined, stderr: (text: string) => void said.push(text), env: {} }
    const config = await configure(path, { ...io, exit: () => undefined })
    assert.ok(config !== undefined, said.join(''))
    const result = await createDeps(config)
    assert.ok(result.ok)
    await result.deps.close()
    assert.equal(repository.requests.length > 0, refresh === 'on')
  })
}
