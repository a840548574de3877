import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { problemText } from '../policy/problem.ts'
import { loadConfig } from './load.ts'
import { load, PATH, problems, read } from './testing/loaded.ts'

test('no configuration is a safe and useful one', async () => {
  const config = await load(undefined)
  assert.deepEqual([config.listen.data.host, config.listen.admin.host], ['127.0.0.1', '127.0.0.1'])
  assert.deepEqual(config.policies, {
    reloadEveryMs: 5000,
    defaultMode: 'observe',
    unmatched: 'observe',
    defaultStance: 'closed',
  })
  assert.deepEqual(
    [...config.trust.roots],
    [['public-good', { kind: 'public-good', mirror: 'https://tuf-repo-cdn.sigstore.dev' }]],
  )
  assert.equal(config.dataDirectory, './data')
  const upstreams = [...config.upstreams.values()]
  assert.ok(upstreams.every(({ url }) => url.startsWith('https://')))
  assert.ok(
    upstreams.every(({ auth, allowPrivateAddresses }) => auth === undefined && !allowPrivateAddresses),
  )
  assert.deepEqual(
    [...config.upstreams.keys()],
    [
      'docker.io',
      'ghcr.io',
      'quay.io',
      'gcr.io',
      'registry.k8s.io',
      'mcr.microsoft.com',
      'public.ecr.aws',
      'registry.gitlab.com',
    ],
  )
})

for (const text of ['', '# nothing\n', '{}']) {
  test(`an empty file has the defaults: ${JSON.stringify(text)}`, async () => {
    assert.deepEqual(await load(text), { ...(await load(undefined)), dataDirectory: '/etc/portcullis/data' })
  })
}

test('config/default.yaml spells out the defaults', async () => {
  const text = await readFile(new URL('../../config/default.yaml', import.meta.url), 'utf8')
  assert.deepEqual(await load(text), await load('{}'))
})

test('sizes and durations become numbers', async () => {
  const { cache, deadlines, shutdown } = await load(
    'cache: { contentBytesMax: 1GiB, tagTtl: 1m }\ndeadlines: { pull: 1500ms }\nshutdown: { drain: 0s }',
  )
  assert.deepEqual(
    [cache.contentBytesMax, cache.tagTtlMs, deadlines.pullMs, shutdown.drainMs],
    [2 ** 30, 60_000, 1500, 0],
  )
})

test('a registry that hangs is found out while somebody still waits', async () => {
  const config = await load(
    'deadlines: { pull: 4s }\nupstreams: { docker.io: {}, quay.io: { timeouts: { headers: 1s } } }',
  )
  assert.deepEqual(
    [...config.upstreams.values()].map(({ headersTimeoutMs }) => headersTimeoutMs),
    [2000, 1000],
  )
})

test('upstreams replace the default map, and a URL is derived from the registry', async () => {
  const { upstreams } = await load(
    'defaultUpstream: null\nupstreams: { "localhost:5000": { url: "http://localhost:5000/" }, quay.io: {} }',
  )
  assert.deepEqual(
    [...upstreams].map(([registry, entry]) => [registry, entry.registry, entry.url]),
    [
      ['localhost:5000', 'localhost:5000', 'http://localhost:5000'],
      ['quay.io', 'quay.io', 'https://quay.io'],
    ],
  )
})

test('paths are relative to the file that says them', async () => {
  const text = `
listen: { data: { tls: { cert: tls/crt, key: /abs/key } } }
dataDirectory: state
dockerConfig: ../docker.json
policies: { directory: policies }
trust: { roots: { internal: { kind: pinned, path: root.json } } }
upstreams: { docker.io: { ca: ca.pem, auth: { username: me, passwordFile: token } } }
`
  const files = {
    '/etc/portcullis/tls/crt': 'c',
    '/abs/key': 'k',
    '/etc/docker.json': '{}',
    '/etc/portcullis/root.json': '{}',
    '/etc/portcullis/ca.pem': 'PEM',
    '/etc/portcullis/token': 'secret\n',
  }
  const config = await load(text, {}, files)
  assert.deepEqual(config.listen.data.tls, { cert: '/etc/portcullis/tls/crt', key: '/abs/key' })
  assert.equal(config.dataDirectory, '/etc/portcullis/state')
  assert.equal(config.dockerConfig, '/etc/docker.json')
  assert.equal(config.policies.directory, '/etc/portcullis/policies')
  assert.deepEqual(config.trust.roots.get('internal'), { kind: 'pinned', path: '/etc/portcullis/root.json' })
  const hub = config.upstreams.get('docker.io')
  assert.deepEqual([hub?.ca, hub?.auth], ['PEM', { username: 'me', password: 'secret' }])

  const missing = await problems(text)
  assert.equal(missing.length, Object.keys(files).length, missing.join('\n'))
  assert.ok(
    missing.every((line) =>
      /^\/etc\/portcullis\/config\.yaml:\d: .*found no readable file: ENOENT/.test(line),
    ),
  )
})

const FAULTS: readonly (readonly [name: string, text: string, problem: RegExp])[] = [
  ['an unknown section', 'polices: {}', /config\.yaml:1: polices: unknown key, did you mean policies\?/],
  ['an unknown key', 'log: { levle: info }', /log\.levle: unknown key, did you mean level\?/],
  [
    'an unknown key with no likely meaning',
    'log: { zzz: 1 }',
    /log\.zzz: unknown key, expected one of level/,
  ],
  [
    'a wrong type',
    'listen: { data: { port: "5000" } }',
    /listen\.data\.port: found "5000", expected a number/,
  ],
  ['a port out of range', 'listen: { data: { port: 65536 } }', /found 65536, expected at most 65535/],
  ['a level that is none', 'log: { level: loud }', /found "loud", expected trace or debug/],
  [
    'a duration without a unit',
    'deadlines: { pull: 20 }',
    /deadlines\.pull: found 20, expected a duration .* with its unit/,
  ],
  ['a section that is none', 'cache:\n  - a', /cache: found a list, expected a mapping/],
  ['a document that is none', 'hello', /: found "hello", expected a mapping/],
  ['a duplicate key', 'log: {}\nlog: {}', /config\.yaml:2: Map keys must be unique/],
  ['two documents', 'log: {}\n---\nlog: {}', /found several documents, expected one/],
  ['broken YAML', 'log: {', /config\.yaml:1: /],
  [
    'one port twice',
    'listen: { admin: { port: 5000 } }',
    /listen\.admin\.port: found 5000, which is the data listener's port too/,
  ],
  [
    'a default upstream that is none',
    'defaultUpstream: quai.io',
    /defaultUpstream: found "quai\.io", which upstreams does not list/,
  ],
  [
    'a default upstream that went with the map',
    'upstreams: { quay.io: {} }',
    /defaultUpstream: found "docker\.io", which upstreams does not list; expected null or one of quay\.io/,
  ],
  ['no upstreams', 'upstreams: {}', /upstreams: found a mapping, expected at least one registry/],
  [
    'an alias of Docker Hub as a key',
    'upstreams: { index.docker.io: {}, docker.io: {} }',
    /upstreams\.index\.docker\.io: expected a registry host in its canonical form/,
  ],
  [
    'an alias that is a registry',
    'upstreams: { docker.io: { aliases: [quay.io] }, quay.io: {} }',
    /aliases\[0\]: found "quay\.io", which already means quay\.io/,
  ],
  [
    'an alias that is a spelling of one',
    'upstreams: { docker.io: {}, quay.io: { aliases: [index.docker.io] } }',
    /already means docker\.io/,
  ],
  [
    'a virtual host twice',
    'upstreams: { docker.io: { virtualHosts: [m.example] }, quay.io: { virtualHosts: [m.example] } }',
    /virtualHosts\[0\]: .*already means docker\.io/,
  ],
  [
    'a virtual host with a port',
    'upstreams: { docker.io: { virtualHosts: ["m.example:443"] } }',
    /expected a host name without a port/,
  ],
  [
    'a URL without a scheme',
    'upstreams: { docker.io: { url: r.example } }',
    /expected a URL such as https:.* with its scheme/,
  ],
  ['a URL of another scheme', 'upstreams: { docker.io: { url: "file:///etc" } }', /expected a URL such as/],
  [
    'a URL with a query',
    'upstreams: { docker.io: { url: "https://r.example/?a" } }',
    /without query, fragment and credentials/,
  ],
  [
    'two passwords',
    'upstreams: { docker.io: { auth: { username: a, password: b, passwordFile: c } } }',
    /auth: found both, expected either/,
  ],
  [
    'no password',
    'upstreams: { docker.io: { auth: { username: a } } }',
    /auth: found neither, expected either/,
  ],
  [
    'credentials in clear',
    'upstreams: { docker.io: { url: "http://r.example", auth: { username: a, password: b } } }',
    /would send them in clear/,
  ],
  [
    'a trust root of no kind',
    'trust: { roots: { a: { kind: gpg } } }',
    /kind: found "gpg", expected public-good or tuf or pinned or pki or keys/,
  ],
  [
    'a pinned trust root without a path',
    'trust: { roots: { a: { kind: pinned } } }',
    /path: found nothing, expected a string/,
  ],
  [
    'every image refused',
    'policies: { unmatched: enforce }',
    /policies\.unmatched: found "enforce" without policies\.directory/,
  ],
]

for (const [name, text, problem] of FAULTS) {
  test(`does not load: ${name}`, async () => assert.match((await problems(text)).join('\n'), problem))
}

test('all that is wrong is told at once and in order: values, keys, files, variables, and what does not fit together', async () => {
  const text = `log: { level: loud }
polices: {}
trust: { roots: { a: { kind: pinned, path: gone.json } } }
listen: { admin: { port: 5000 } }
cache: { tagTtl: 1, memoryBytesMax: none }
`
  const told = await problems(text, { PORTCULLIS_NONSENSE: '1' })
  const places = told.map((line) => line.split(': ').slice(0, 2).join(' '))
  assert.deepEqual(places, [
    'environment PORTCULLIS_NONSENSE',
    `${PATH}:1 log.level`,
    `${PATH}:2 polices`,
    `${PATH}:3 trust.roots.a.path`,
    `${PATH}:4 listen.admin.port`,
    `${PATH}:5 cache.memoryBytesMax`,
    `${PATH}:5 cache.tagTtl`,
  ])
})

test('no secret is repeated in a message', async () => {
  const secrets = [
    'upstreams: { docker.io: { auth: s3cret } }',
    'upstreams: { docker.io: { auth: { username: [s3cret], password: [s3cret] } } }',
    'upstreams: { docker.io: { auth: { username: 1, password: 5 } }, ghcr.io: { auth: { username: x, password: "" } } }',
    'upstreams: { docker.io: { url: "https://me:s3cret@r.example" } }',
  ]
  for (const text of secrets) assert.ok(!(await problems(text)).join().includes('s3cret'), text)
})

test('a file that cannot be read is a problem', async () => {
  const result = await loadConfig({ path: '/gone.yaml', env: {}, readFile: read({}) })
  assert.ok(!result.ok)
  assert.deepEqual(result.problems.map(problemText), ['/gone.yaml: not readable: ENOENT /gone.yaml'])
})

test('PORTCULLIS_CONFIG names the file, and an argument wins over it', async () => {
  const files = { '/a.yaml': 'log: { level: warn }', '/b.yaml': 'log: { level: error }' }
  const env = { PORTCULLIS_CONFIG: '/a.yaml' }
  const named = await loadConfig({ env, readFile: read(files) })
  const given = await loadConfig({ path: '/b.yaml', env, readFile: read(files) })
  assert.deepEqual(
    [named.ok && named.config.log.level, given.ok && given.config.log.level],
    ['warn', 'error'],
  )
})
