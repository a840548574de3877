import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { referenceOf } from '../../testing/kms-keys.ts'
import { endpointOf, endpointProblem, type EndpointSettings } from './kms-endpoint.ts'

const SETTINGS: EndpointSettings = { endpoint: undefined, plainHttpHosts: [] }

suite('endpointOf', () => {
  const PLAIN = 'http://kms.example.test:8080'
  const cases: readonly (readonly [string, string, Partial<EndpointSettings>, string | undefined])[] = [
    ['none', 'awskms:///alias/x', {}, undefined],
    ['a host: TLS, as cosign', 'awskms://kms.example.test/alias/x', {}, 'https://kms.example.test'],
    ['a host and port', 'awskms://kms.example.test:8443/alias/x', {}, 'https://kms.example.test:8443'],
    ['loopback: plain', 'awskms://127.0.0.1:5000/alias/x', {}, 'http://127.0.0.1:5000'],
    ['loopback by name', 'awskms://localhost:5000/alias/x', {}, 'http://localhost:5000'],
    ['loopback of IPv6', 'awskms://[::1]:5000/alias/x', {}, 'http://[::1]:5000'],
    ['a name that looks like it', 'awskms://127.0.0.1.test/alias/x', {}, 'https://127.0.0.1.test'],
    [
      'a host that is listed',
      'awskms://kms.example.test:8080/alias/x',
      { plainHttpHosts: ['kms.example.test:8080'] },
      PLAIN,
    ],
    [
      'the same on another port',
      'awskms://kms.example.test/alias/x',
      { plainHttpHosts: ['kms.example.test:8080'] },
      'https://kms.example.test',
    ],
    [
      'configured',
      'awskms:///alias/x',
      { endpoint: 'https://vpce.example.test' },
      'https://vpce.example.test',
    ],
    ['configured, loopback', 'awskms:///alias/x', { endpoint: 'http://127.0.0.1:1' }, 'http://127.0.0.1:1'],
    [
      'configured and listed',
      'awskms:///alias/x',
      { endpoint: PLAIN, plainHttpHosts: ['kms.example.test:8080'] },
      PLAIN,
    ],
    ['the reference wins', 'awskms://a.test/alias/x', { endpoint: 'https://b.test' }, 'https://a.test'],
  ]
  for (const [name, text, settings, expected] of cases) {
    test(name, () => assert.equal(endpointOf(referenceOf(text), { ...SETTINGS, ...settings }), expected))
  }
  test('plain HTTP to somebody else: refused', () => {
    const reference = referenceOf('awskms:///alias/x')
    assert.throws(() => endpointOf(reference, { ...SETTINGS, endpoint: PLAIN }), {
      name: 'TrustError',
      code: 'refused',
    })
  })
})

suite('endpointProblem', () => {
  const cases: readonly (readonly [string, string, readonly string[], boolean])[] = [
    ['no host: the one of AWS', 'awskms:///alias/x', [], true],
    ['loopback', 'awskms://127.0.0.1:5000/alias/x', [], true],
    ['a host that nobody listed', 'awskms://evil.test/alias/x', [], false],
    ['one that is listed', 'awskms://kms.corp.test/alias/x', ['kms.corp.test'], true],
    ['on its usual port', 'awskms://kms.corp.test:443/alias/x', ['kms.corp.test'], true],
    ['on another port', 'awskms://kms.corp.test:8443/alias/x', ['kms.corp.test'], false],
    ['on a port that is listed', 'awskms://kms.corp.test:8443/alias/x', ['kms.corp.test:8443'], true],
    ['below one that is listed', 'awskms://evil.kms.corp.test/alias/x', ['kms.corp.test'], false],
    ['a name that looks like loopback', 'awskms://127.0.0.1.evil.test/alias/x', [], false],
  ]
  for (const [name, text, allowed, isRight] of cases) {
    test(name, () => {
      const problem = endpointProblem(referenceOf(text), allowed)
      if (isRight) assert.equal(problem, undefined)
      else assert.match(problem ?? '', /AWS credentials; .* to trust\.kms\.endpoints$/)
    })
  }
})
