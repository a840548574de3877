import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { allowedRealm } from './realm.ts'

const cases: [string, string | undefined, string, boolean][] = [
  ['the upstream itself', 'https://ghcr.io/token', 'https://ghcr.io', true],
  ['Docker Hub', 'https://auth.docker.io/token', 'https://registry-1.docker.io', true],
  ['a sibling under the same owner', 'https://gitlab.corp.com/jwt/auth', 'https://registry.corp.com', true],
  ['the owner above', 'https://gitlab.com/jwt/auth', 'https://registry.gitlab.com', true],
  ['the same port', 'https://registry.corp.com:8443/t', 'https://registry.corp.com:8443', true],
  ['an attacker', 'https://attacker.example/token', 'https://ghcr.io', false],
  ['the upstream as a prefix', 'https://ghcr.io.attacker.example/token', 'https://ghcr.io', false],
  ['the upstream as a suffix', 'https://evilghcr.io/token', 'https://ghcr.io', false],
  ['the upstream as user info', 'https://ghcr.io@attacker.example/token', 'https://ghcr.io', false],
  ['another port of the upstream', 'https://ghcr.io:8443/token', 'https://ghcr.io', false],
  ['another port of a sibling', 'https://auth.corp.com:22/token', 'https://registry.corp.com', false],
  ['plain text', 'http://ghcr.io/token', 'https://ghcr.io', false],
  [
    'another tenant of ECR',
    'https://2.dkr.ecr.us-east-1.amazonaws.com/',
    'https://1.dkr.ecr.us-east-1.amazonaws.com',
    false,
  ],
  ['another tenant of ACR', 'https://evil.azurecr.io/oauth2/token', 'https://good.azurecr.io', false],
  ['another region of Artifact Registry', 'https://evil.pkg.dev/', 'https://us-docker.pkg.dev', false],
  ['another service on Cloud Run', 'https://evil.run.app/', 'https://good.run.app', false],
  ['another owner under a country', 'https://evil.co.uk/token', 'https://registry.example.co.uk', false],
  ['another address', 'https://10.0.0.9/token', 'https://10.0.0.8', false],
  ['a single label', 'https://evil/token', 'https://registry', false],
  ['a trailing dot', 'https://ghcr.io./token', 'https://ghcr.io', false],
  ['no URL', 'token', 'https://ghcr.io', false],
  ['nothing', undefined, 'https://ghcr.io', false],
  ['plain text of a plain upstream', 'http://127.0.0.1:5000/token', 'http://127.0.0.1:5000', true],
  ['another port of a plain upstream', 'http://127.0.0.1:5001/token', 'http://127.0.0.1:5000', false],
  ['TLS of a plain upstream', 'https://registry.corp.com/token', 'http://registry.corp.com', true],
]

describe('allowedRealm', () => {
  for (const [name, realm, upstream, expected] of cases) {
    test(name, () => assert.equal(allowedRealm(realm, new URL(upstream), []) !== undefined, expected))
  }

  test('hosts that the operator named, exactly', () => {
    const upstream = new URL('https://ghcr.io')
    const named = ['auth.other.example']
    assert.notEqual(allowedRealm('https://auth.other.example/t', upstream, named), undefined)
    assert.equal(allowedRealm('https://x.auth.other.example/t', upstream, named), undefined)
    assert.equal(allowedRealm('http://auth.other.example/t', upstream, named), undefined)
  })
})
