import assert from 'node:assert/strict'
import test from 'node:test'
import { problemText } from '../policy/problem.ts'
import { loadConfig, type Config } from './load.ts'
import type { Environment } from './environment.ts'

const FILES: Readonly<Record<string, string>> = {
  '/run/secrets/token': 'from-file\n',
  '/run/secrets/empty': '\n',
  'conf/c.yaml':
    'upstreams: { docker.io: { auth: { username: me, passwordFile: gone } }, quay.io: {} }\nlog: { level: warn }\n',
}

async function readFile(path: string): Promise<string> {
  return FILES[path] ?? Promise.reject(new Error(`ENOENT ${path}`))
}

async function load(env: Environment): Promise<Config> {
  const result = await loadConfig({ env, readFile })
  assert.ok(result.ok, result.ok ? '' : result.problems.map(problemText).join('\n'))
  return result.config
}

const VALUES: readonly (readonly [
  variable: string,
  value: string,
  of: (config: Config) => unknown,
  expected: unknown,
])[] = [
  ['PORTCULLIS_LISTEN_DATA', '0.0.0.0:80', ({ listen: { data } }) => [data.host, data.port], ['0.0.0.0', 80]],
  ['PORTCULLIS_LISTEN_DATA', '[::1]:0', ({ listen: { data } }) => [data.host, data.port], ['::1', 0]],
  ['PORTCULLIS_LISTEN_ADMIN', 'localhost:81', ({ listen }) => listen.admin.host, 'localhost'],
  ['PORTCULLIS_DATA_DIRECTORY', 'var', ({ dataDirectory }) => dataDirectory, 'var'],
  ['PORTCULLIS_POLICIES_DIRECTORY', '/p', ({ policies }) => policies.directory, '/p'],
  ['PORTCULLIS_LOG_LEVEL', 'debug', ({ log }) => log.level, 'debug'],
]

for (const [variable, value, of, expected] of VALUES) {
  test(`${variable}=${value}`, async () => assert.deepEqual(of(await load({ [variable]: value })), expected))
}

test('credentials come from variables and files, over what the configuration says', async () => {
  const PORTCULLIS_CONFIG = 'conf/c.yaml'
  const PORTCULLIS_UPSTREAM_DOCKER_IO_PASSWORD_FILE = '/run/secrets/token'
  const config = await load({ PORTCULLIS_CONFIG, PORTCULLIS_UPSTREAM_DOCKER_IO_PASSWORD_FILE })
  assert.deepEqual(config.upstreams.get('docker.io')?.auth, { username: 'me', password: 'from-file' })
  assert.equal(config.log.level, 'warn')
})

test('credentials for a default upstream need no configuration', async () => {
  const env = { PORTCULLIS_UPSTREAM_GHCR_IO_USERNAME: 'me', PORTCULLIS_UPSTREAM_GHCR_IO_PASSWORD: 'pw' }
  const { upstreams } = await load(env)
  assert.deepEqual(upstreams.get('ghcr.io')?.auth, { username: 'me', password: 'pw' })
  assert.equal(upstreams.size, 8)
})

const FAULTS: readonly (readonly [name: string, env: Environment, problem: RegExp])[] = [
  [
    'an unknown variable',
    { PORTCULLIS_LOGLEVEL: 'info' },
    /^environment: PORTCULLIS_LOGLEVEL: unknown variable, did you mean PORTCULLIS_LOG_LEVEL\?$/,
  ],
  ['a variable of no likely meaning', { PORTCULLIS_X: '1' }, /PORTCULLIS_X: unknown variable$/],
  [
    'an unknown upstream',
    { PORTCULLIS_UPSTREAM_NOPE_PASSWORD: 'x' },
    /found no upstream of that name, expected one of DOCKER_IO, GHCR_IO/,
  ],
  ['an empty value', { PORTCULLIS_LOG_LEVEL: '' }, /found nothing, expected a value; unset/],
  [
    'a value and a file',
    { PORTCULLIS_LOG_LEVEL: 'info', PORTCULLIS_LOG_LEVEL_FILE: '/f' },
    /found next to PORTCULLIS_LOG_LEVEL/,
  ],
  ['a file that is gone', { PORTCULLIS_LOG_LEVEL_FILE: '/gone' }, /found no readable file: ENOENT/],
  ['an empty file', { PORTCULLIS_LOG_LEVEL_FILE: '/run/secrets/empty' }, /found an empty file/],
  [
    'an address without a port',
    { PORTCULLIS_LISTEN_DATA: 'localhost' },
    /found "localhost", expected host:port/,
  ],
  [
    'a wrong value',
    { PORTCULLIS_LOG_LEVEL: 'loud' },
    /^environment: PORTCULLIS_LOG_LEVEL: found "loud", expected trace/,
  ],
  [
    'a port out of range',
    { PORTCULLIS_LISTEN_DATA: 'localhost:99999' },
    /^environment: PORTCULLIS_LISTEN_DATA: found 99999, expected at most 65535/,
  ],
  [
    'a password without a user',
    { PORTCULLIS_UPSTREAM_GHCR_IO_PASSWORD: 'x' },
    /upstreams\.ghcr\.io\.auth\.username: found nothing/,
  ],
]

for (const [name, env, problem] of FAULTS) {
  test(`environment: ${name}`, async () => {
    const result = await loadConfig({ env, readFile })
    assert.ok(!result.ok)
    assert.match(result.problems.map(problemText).join('\n'), problem)
  })
}

test('two registries that share a variable are told apart in the file only', async () => {
  const files: Readonly<Record<string, string>> = {
    c: 'defaultUpstream: null\nupstreams: { a.b.example: {}, a-b.example: {} }',
  }
  const env = { PORTCULLIS_CONFIG: 'c', PORTCULLIS_UPSTREAM_A_B_EXAMPLE_USERNAME: 'x' }
  const result = await loadConfig({ env, readFile: async (path) => files[path] ?? '' })
  assert.ok(!result.ok)
  assert.match(result.problems.map(problemText).join(), /a name that a\.b\.example and a-b\.example share/)
})

test('the variables of a Kubernetes Service called portcullis are none of ours', async () => {
  const env = {
    PORTCULLIS_SERVICE_HOST: '10.0.0.1',
    PORTCULLIS_SERVICE_PORT: '5000',
    PORTCULLIS_SERVICE_PORT_DATA: '5000',
    PORTCULLIS_PORT: 'tcp://10.0.0.1:5000',
    PORTCULLIS_PORT_5000_TCP: 'tcp://10.0.0.1:5000',
    PORTCULLIS_PORT_5000_TCP_PROTO: 'tcp',
    PORTCULLIS_PORT_5000_TCP_PORT: '5000',
    PORTCULLIS_PORT_5000_TCP_ADDR: '10.0.0.1',
    PORTCULLIS_ADMIN_SERVICE_HOST: '10.0.0.2',
    PORTCULLIS_ADMIN_PORT_5001_TCP: 'tcp://10.0.0.2:5001',
    OTHER: 'x',
  }
  assert.deepEqual(await load(env), await load({}))
})
