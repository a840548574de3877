import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

function policyText(glob: string): string {
  return `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: everything }
spec:
  images: [{ glob: ${JSON.stringify(glob)} }]
  authorities: [{ name: a, keyless: { identities: [{ issuer: https://issuer.example, subject: https://a.example/b }] } }]
`
}

test('SIGHUP reads the policies again; a bad set is told with all its problems, and ends nothing', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'sighup-'))
  const policies = join(directory, 'policies')
  await mkdir(policies)
  await writeFile(join(policies, 'a.yaml'), policyText('ghcr.io/acme/**'))
  const config = {
    listen: { data: { port: 0 }, admin: { port: 0 } },
    dataDirectory: 'data',
    trust: { refresh: 'off' },
    policies: { directory: 'policies', reloadEvery: 'off' },
    shutdown: { drain: '0s' },
  }
  const path = join(directory, 'portcullis.yaml')
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config))
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', path], { env: {} })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  context.after(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(directory, { recursive: true })
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (event: string): Promise<Record<string, unknown>> => {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one line after the other
      const { value, done } = await lines.next()
      if (done === true) assert.fail(`it ended before it told of ${event}`)
      const told: Record<string, unknown> = JSON.parse(value)
      if (told['event'] === event) return told
    }
  }
  const { version } = await next('policies')
  await next('start')

  await writeFile(join(policies, 'a.yaml'), policyText('NOT/A/GLOB'))
  await writeFile(join(policies, 'b.yaml'), 'kind: Nonsense')
  child.kill('SIGHUP')
  const refused = await next('policies')
  assert.deepEqual([refused['level'], refused['kind'], refused['version']], ['error', 'refused', version])
  assert.match(String(refused['problems']), /a\.yaml:\d+: spec\.images\[0\]\.glob: .*b\.yaml:1: /)

  await rm(join(policies, 'b.yaml'))
  await writeFile(join(policies, 'a.yaml'), policyText('ghcr.io/other/**'))
  child.kill('SIGHUP')
  const loaded = await next('policies')
  assert.deepEqual([loaded['level'], loaded['kind']], ['info', 'loaded'])
  assert.notEqual(loaded['version'], version)
  child.kill('SIGTERM')
  assert.equal(await ended, 0)
})
