import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import type { HelperProcess, Spawn } from './credential-helper.ts'
import { createCredentialSource, type Credential } from './credentials.ts'

type Run = { command: string; args: readonly string[]; input: string }

/** A helper that answers with these bytes and exit code. */
function fakeSpawn(output: string, code: number | Error, runs: Run[] = []): Spawn {
  return (command, args) => {
    const child = Object.assign(new EventEmitter(), { stdin: new PassThrough(), stdout: new PassThrough() })
    const run = { command, args, input: '' }
    runs.push(run)
    child.stdin.on('data', (chunk) => (run.input += String(chunk)))
    child.stdin.on('end', () => {
      child.stdout.end(output)
      if (typeof code === 'number') child.emit('close', code)
      else child.emit('error', code)
    })
    return child as unknown as HelperProcess
  }
}

const noSpawn: Spawn = () => assert.fail('no helper may run')

function basic(username: string, password: string): Credential {
  return { kind: 'basic', username, password }
}

function auth(username: string, password: string) {
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') }
}

function source(config: unknown, spawn = noSpawn, configured: [string, Credential][] = []) {
  const clock = { nowMs: 0, reads: 0 }
  const made = createCredentialSource({
    configured: new Map(configured),
    ...(config === undefined ? {} : { dockerConfigPath: 'config.json' }),
    spawn,
    readFile: () => {
      clock.reads += 1
      return config instanceof Error
        ? Promise.reject(config)
        : Promise.resolve(Buffer.from(typeof config === 'string' ? config : JSON.stringify(config)))
    },
    now: () => clock.nowMs,
  })
  return { ...made, clock }
}

describe('configured credentials', () => {
  const own = source(undefined, noSpawn, [
    ['ghcr.io', basic('g', '1')],
    ['host:5000', basic('h', '2')],
    ['docker.io', basic('d', '3')],
  ])
  const cases: [string, Credential | undefined][] = [
    ['ghcr.io', basic('g', '1')],
    ['host:5000', basic('h', '2')],
    ['registry-1.docker.io', basic('d', '3')],
    ['cr.io', undefined],
    ['ghcr.io.evil.example', undefined],
    ['evil-ghcr.io', undefined],
    ['x.ghcr.io', undefined],
    ['ghcr.io:8443', undefined],
    ['host', undefined],
    ['auth.docker.io', undefined],
  ]
  for (const [host, expected] of cases) {
    test(`for ${host}`, async () => assert.deepEqual(await own.get(host), expected))
  }
})

describe('docker config', () => {
  const auths = {
    'https://index.docker.io/v1/': auth('hub', 'a:b'),
    'ghcr.io': auth('gh', 'c'),
    'https://quay.io/v2/': { username: 'q', password: 'd' },
    'reg.example/team': auth('team', 'e'),
    'id.example': { auth: auth('<token>', '').auth, identitytoken: 'refresh' },
    'empty.example': {},
  }
  const own = source({ auths, unknown: [1] })
  const cases: [string, Credential | undefined][] = [
    ['registry-1.docker.io', basic('hub', 'a:b')],
    ['ghcr.io', basic('gh', 'c')],
    ['quay.io', basic('q', 'd')],
    ['id.example', { kind: 'identity-token', token: 'refresh' }],
    ['reg.example', undefined],
    ['empty.example', undefined],
    ['cr.io', undefined],
    ['io', undefined],
  ]
  for (const [host, expected] of cases) {
    test(`for ${host}`, async () => assert.deepEqual(await own.get(host), expected))
  }

  test('is read again after five minutes', async () => {
    const own = source({ auths })
    await own.get('ghcr.io')
    await own.get('ghcr.io')
    assert.equal(own.clock.reads, 1)
    own.clock.nowMs = 5 * 60_000
    await own.get('ghcr.io')
    assert.equal(own.clock.reads, 2)
  })

  for (const [name, config] of [
    ['is missing', new Error('ENOENT')],
    ['is not JSON', '{"auths":'],
    ['is no config', { auths: [] }],
    ['is too large', ' '.repeat(2 * 1024 * 1024)],
  ] as const) {
    test(`a file that ${name} is a failure, not anonymity, and not remembered`, async () => {
      const own = source(config)
      await assert.rejects(own.get('ghcr.io'), { name: 'UpstreamError', code: 'unavailable' })
      await assert.rejects(own.get('ghcr.io'))
      assert.equal(own.clock.reads, 2)
    })
  }
})

describe('credential helpers', () => {
  const answer = JSON.stringify({ ServerURL: 'x', Username: 'AWS', Secret: 's3cret' })
  const helpers = { credHelpers: { 'ecr.example': 'ecr-login' } }

  test('are run for their host alone, once in five minutes', async () => {
    const runs: Run[] = []
    const own = source(helpers, fakeSpawn(answer, 0, runs))
    assert.deepEqual(await own.get('ecr.example'), basic('AWS', 's3cret'))
    await own.get('ecr.example')
    assert.equal(await own.get('cr.example'), undefined)
    assert.deepEqual(runs, [
      { command: 'docker-credential-ecr-login', args: ['get'], input: 'ecr.example\n' },
    ])
  })

  test('the store is asked for Docker Hub by the name docker uses', async () => {
    const runs: Run[] = []
    const token = JSON.stringify({ ServerURL: 'x', Username: '<token>', Secret: 'refresh' })
    const own = source({ credsStore: 'pass' }, fakeSpawn(token, 0, runs))
    assert.deepEqual(await own.get('registry-1.docker.io'), { kind: 'identity-token', token: 'refresh' })
    assert.equal(runs[0]?.input, 'https://index.docker.io/v1/\n')
  })

  test('having nothing is an answer', async () => {
    const own = source(helpers, fakeSpawn('credentials not found in native keychain\n', 1))
    assert.equal(await own.get('ecr.example'), undefined)
  })

  const broken: [string, Spawn, string][] = [
    ['fails', fakeSpawn('s3cret boom', 2), 'ecr-login'],
    ['cannot be run', fakeSpawn('', new Error('ENOENT')), 'ecr-login'],
    ['answers no JSON', fakeSpawn('s3cret', 0), 'ecr-login'],
    ['answers no credential', fakeSpawn('{"Secret":"s3cret"}', 0), 'ecr-login'],
    ['says too much', fakeSpawn('s3cret'.repeat(20_000), 0), 'ecr-login'],
    ['is a path', noSpawn, '../../bin/sh'],
    ['is an option', noSpawn, '-x'],
    ['is nothing', noSpawn, ''],
  ]
  for (const [name, spawn, helper] of broken) {
    test(`a helper that ${name} is a failure that tells no secret`, async () => {
      const own = source({ credHelpers: { 'ecr.example': helper } }, spawn)
      await assert.rejects(own.get('ecr.example'), (error: unknown) => {
        assert(error instanceof Error)
        assert.equal('code' in error ? error.code : '', 'unavailable')
        assert(!error.message.includes('s3cret'))
        return true
      })
    })
  }
})
