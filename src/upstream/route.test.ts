import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createRouter, type RouteEntry, type RouteInput } from './route.ts'

const TABLE: readonly RouteEntry[] = [
  {
    registry: 'docker.io',
    aliases: ['hub'],
    virtualHosts: ['docker-io.proxy.example', 'registry-1.docker.io'],
  },
  { registry: 'ghcr.io', aliases: ['ghcr.example:5000'], virtualHosts: ['ghcr.proxy.example'] },
  { registry: 'localhost:5000', aliases: ['up'], virtualHosts: [] },
]
const router = createRouter(TABLE, 'docker.io')

type Request = { name?: string; ns?: string; prefix?: string; host?: string }

function ask({ name, ns, prefix, host }: Request, by = router): string {
  const input: RouteInput = { ns, prefix, ...(name === undefined ? {} : { name }) }
  const route = by.route(input, host)
  if (!route.ok) return `${route.status} ${route.code}`
  if (route.repository === undefined) return `ping ${route.registry} via ${route.via}`
  assert.equal(route.repository.registry, route.registry)
  return `${route.registry} ${route.repository.name} via ${route.via}`
}

describe('route', () => {
  const cases: Record<string, [request: Request, answer: string]> = {
    default: [{ name: 'acme/app' }, 'docker.io acme/app via default'],
    'default adds library/': [{ name: 'alpine' }, 'docker.io library/alpine via default'],
    'library/ is not added twice': [{ name: 'library/alpine' }, 'docker.io library/alpine via default'],
    ns: [{ name: 'acme/app', ns: 'ghcr.io' }, 'ghcr.io acme/app via ns'],
    'ns adds library/ for Docker Hub': [
      { name: 'alpine', ns: 'docker.io' },
      'docker.io library/alpine via ns',
    ],
    'ns adds nothing elsewhere': [{ name: 'alpine', ns: 'ghcr.io' }, 'ghcr.io alpine via ns'],
    'ns by another name of Docker Hub': [
      { name: 'a', ns: 'registry-1.docker.io' },
      'docker.io library/a via ns',
    ],
    'ns by an old name of Docker Hub': [{ name: 'a', ns: 'index.docker.io' }, 'docker.io library/a via ns'],
    'ns by an alias': [{ name: 'a', ns: 'ghcr.example:5000' }, 'ghcr.io a via ns'],
    'ns with a port': [{ name: 'a', ns: 'localhost:5000' }, 'localhost:5000 a via ns'],
    'unknown ns': [{ name: 'a', ns: 'evil.example' }, '404 NAME_UNKNOWN'],
    'ns with another port': [{ name: 'a', ns: 'ghcr.io:443' }, '404 NAME_UNKNOWN'],
    'ns without its port': [{ name: 'a', ns: 'localhost' }, '404 NAME_UNKNOWN'],
    'ns below a known one': [{ name: 'a', ns: 'evil.ghcr.io' }, '404 NAME_UNKNOWN'],
    'unchecked ns': [{ name: 'a', ns: 'GHCR.IO' }, '404 NAME_UNKNOWN'],
    path: [{ name: 'ghcr.io/acme/app' }, 'ghcr.io acme/app via path'],
    'path with a port': [{ name: 'localhost:5000/app' }, 'localhost:5000 app via path'],
    'path adds library/': [{ name: 'docker.io/alpine' }, 'docker.io library/alpine via path'],
    'path by another name': [{ name: 'index.docker.io/acme/app' }, 'docker.io acme/app via path'],
    'path by an alias': [{ name: 'up/conformance/repo1' }, 'localhost:5000 conformance/repo1 via path'],
    'path to an unknown registry': [{ name: 'evil.example/app' }, '404 NAME_UNKNOWN'],
    'path to an unknown port': [{ name: 'localhost:5001/app' }, '404 NAME_UNKNOWN'],
    'path to localhost': [{ name: 'localhost/app' }, '404 NAME_UNKNOWN'],
    'a registry alone is a name': [{ name: 'ghcr.io' }, 'docker.io library/ghcr.io via default'],
    'only the first component routes': [
      { name: 'acme/ghcr.io/app' },
      'docker.io acme/ghcr.io/app via default',
    ],
    'path routes once': [{ name: 'ghcr.io/docker.io/app' }, 'ghcr.io docker.io/app via path'],
    prefix: [{ name: 'acme/app', prefix: 'ghcr.io' }, 'ghcr.io acme/app via prefix'],
    'prefix by an alias': [{ name: 'alpine', prefix: 'hub' }, 'docker.io library/alpine via prefix'],
    'unknown prefix': [{ name: 'a', prefix: 'mirror' }, '404 NAME_UNKNOWN'],
    'virtual host': [{ name: 'acme/app', host: 'ghcr.proxy.example' }, 'ghcr.io acme/app via virtual-host'],
    'virtual host with port, case and dot': [
      { name: 'acme/app', host: 'GHCR.Proxy.Example.:8443' },
      'ghcr.io acme/app via virtual-host',
    ],
    'virtual host by DNS override': [
      { name: 'library/alpine', host: 'registry-1.docker.io' },
      'docker.io library/alpine via virtual-host',
    ],
    'any other host says nothing': [{ name: 'a', host: 'proxy.example' }, 'docker.io library/a via default'],
    'a registry is no virtual host by itself': [
      { name: 'a', host: 'ghcr.io' },
      'docker.io library/a via default',
    ],
    'user info in the host': [{ name: 'a', host: 'x@ghcr.proxy.example' }, 'docker.io library/a via default'],
    'ns and path agree': [{ name: 'ghcr.io/acme/app', ns: 'ghcr.io' }, 'ghcr.io acme/app via ns'],
    'ns and path agree by other names': [
      { name: 'docker.io/alpine', ns: 'registry-1.docker.io' },
      'docker.io library/alpine via ns',
    ],
    'everything agrees': [
      { name: 'ghcr.io/a', ns: 'ghcr.io', prefix: 'ghcr.example:5000', host: 'ghcr.proxy.example' },
      'ghcr.io a via ns',
    ],
    'ns and path disagree': [{ name: 'ghcr.io/acme/app', ns: 'docker.io' }, '400 NAME_INVALID'],
    'ns and prefix disagree': [{ name: 'a', ns: 'ghcr.io', prefix: 'docker.io' }, '400 NAME_INVALID'],
    'ns and virtual host disagree': [
      { name: 'a', ns: 'docker.io', host: 'ghcr.proxy.example' },
      '400 NAME_INVALID',
    ],
    'prefix and path disagree': [{ name: 'ghcr.io/a', prefix: 'docker.io' }, '400 NAME_INVALID'],
    'virtual host and path disagree': [
      { name: 'docker.io/a', host: 'ghcr.proxy.example' },
      '400 NAME_INVALID',
    ],
    'unknown ns with a known path': [{ name: 'ghcr.io/a', ns: 'evil.example' }, '404 NAME_UNKNOWN'],
    'ns with an unknown registry as a folder': [
      { name: 'quay.io/app', ns: 'docker.io' },
      'docker.io quay.io/app via ns',
    ],
    'ns with an unknown host and port': [{ name: 'evil:1/app', ns: 'docker.io' }, '400 NAME_INVALID'],
    'ns with a folder that is also an alias': [
      { name: 'hub/app', ns: 'docker.io' },
      'docker.io hub/app via ns',
    ],
    ping: [{}, 'ping docker.io via default'],
    'ping with ns': [{ ns: 'ghcr.io' }, 'ping ghcr.io via ns'],
    'ping with unknown ns': [{ ns: 'evil.example' }, '404 NAME_UNKNOWN'],
    'name without grammar': [{ name: 'A' }, '400 NAME_INVALID'],
    'name too long with library/': [{ name: 'a'.repeat(250) }, '400 NAME_INVALID'],
  }
  for (const [name, [request, answer]] of Object.entries(cases)) {
    test(name, () => assert.equal(ask(request), answer))
  }

  test('without a default only named registries are served, and pings', () => {
    const closed = createRouter(TABLE, undefined)
    assert.equal(ask({ name: 'acme/app' }, closed), '404 NAME_UNKNOWN')
    assert.equal(ask({ name: 'ghcr.io/acme/app' }, closed), 'ghcr.io acme/app via path')
    assert.equal(ask({}, closed), 'ping undefined via default')
  })
})

test('no request leads out of the table', () => {
  const text = fc.constantFrom(
    'docker.io',
    'index.docker.io',
    'ghcr.io',
    'localhost:5000',
    'up',
    'evil.example',
    'a',
  )
  const option = fc.option(text, { nil: undefined })
  const hosts = fc.constantFrom(undefined, 'ghcr.proxy.example', 'evil.example', 'docker-io.proxy.example:1')
  const names = fc.array(text, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
  fc.assert(
    fc.property(names, option, option, hosts, (name, ns, prefix, host) => {
      const route = router.route({ name, ns, prefix }, host)
      if (!route.ok || route.repository === undefined) return
      assert.ok(TABLE.some(({ registry }) => registry === route.registry))
      if (ns !== undefined) assert.equal(ask({ name: 'x', ns }).split(' ')[0], route.registry)
    }),
  )
})

describe('createRouter refuses', () => {
  const entry = (registry: string, aliases: string[] = [], virtualHosts: string[] = []) => ({
    registry,
    aliases,
    virtualHosts,
  })
  const cases: Record<string, [table: RouteEntry[], fallback: string | undefined]> = {
    'an alias of two registries': [[entry('a.example', ['x']), entry('b.example', ['x'])], undefined],
    'an alias that is another registry': [[entry('a.example', ['b.example']), entry('b.example')], undefined],
    'an alias that is a name of Docker Hub': [
      [entry('docker.io'), entry('a.example', ['index.docker.io'])],
      undefined,
    ],
    'a virtual host of two registries': [
      [entry('a.example', [], ['p.example']), entry('b.example', [], ['P.example:80'])],
      undefined,
    ],
    'one registry twice': [[entry('docker.io'), entry('registry-1.docker.io')], undefined],
    'a virtual host that is none': [[entry('a.example', [], [''])], undefined],
    'a registry that is none': [[entry('https://a.example')], undefined],
    'an alias that is none': [[entry('a.example', ['A'])], undefined],
    'a default that is not in the table': [[entry('a.example')], 'b.example'],
  }
  for (const [name, [table, fallback]] of Object.entries(cases)) {
    test(name, () => assert.throws(() => createRouter(table, fallback), TypeError))
  }
})
