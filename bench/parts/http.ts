import assert from 'node:assert/strict'
import { Questions } from '../../src/app.ts'
import { parseTarget } from '../../src/http/target.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { createRouter } from '../../src/upstream/route.ts'
import type { RegistryClient } from '../../src/upstream/types.ts'
import { registry } from '../hostile.ts'
import { checked, type Part } from './part.ts'

const DIGEST = digestOf(Buffer.from('image'))
const HOST = 'mirror.internal:5000'
const TABLE = ['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io', 'public.ecr.aws'].map((name) => ({
  registry: name,
  aliases: [],
  virtualHosts: [],
}))

/** Steps 1 and 2: what a request target asks for, and of whom. */
export function httpParts(): readonly Part[] {
  return [...targetParts(), ...routeParts(), ...questionParts()]
}

function targetParts(): readonly Part[] {
  const read = (name: string, target: string): Part => ({
    name: `target/${name}`,
    open: () =>
      checked(
        () => parseTarget(target),
        (parsed) => assert.ok(parsed.ok),
      ),
  })
  const refused = (name: string, target: string, status: number): Part => ({
    name: `target/${name}`,
    open: () =>
      checked(
        () => parseTarget(target),
        (parsed) => assert.equal(!parsed.ok && parsed.status, status),
      ),
  })
  return [
    read('digest', `/v2/acme/app/manifests/${DIGEST}`),
    read('tag', '/v2/acme/app/manifests/v1.2.3'),
    read('ns', '/v2/acme/app/manifests/v1.2.3?ns=ghcr.io'),
    read('prefix', `/ghcr.io/v2/acme/app/blobs/${DIGEST}`),
    // A fault at the very end of the longest name, which every piece of the grammar has to look at first.
    refused('hostile-name', `/v2/${'a-'.repeat(127)}_/manifests/v1`, 400),
    refused('hostile-slashes', `/v2${'/a'.repeat(2000)}/manifests/..`, 400),
    refused('hostile-query', `/v2/acme/app/manifests/v1?${'a=b&'.repeat(1000)}`, 400),
  ]
}

function routeParts(): readonly Part[] {
  const router = createRouter(TABLE, 'docker.io')
  const routed = (name: string, ns: string | undefined, expected: string): Part => ({
    name: `route/${name}`,
    open: () =>
      checked(
        () => router.route({ ns, prefix: undefined, name: 'acme/app' }, HOST),
        (route) => assert.equal(route.ok && route.registry, expected),
      ),
  })
  return [routed('ns', 'ghcr.io', 'ghcr.io'), routed('default', undefined, 'docker.io')]
}

function questionParts(): readonly Part[] {
  const client: RegistryClient = registry(new Map())
  const questions = new Questions({
    router: createRouter(TABLE, 'docker.io'),
    upstreams: { client: () => client },
  })
  const asked = (name: string, targetOf: (turn: number) => string): Part => ({
    name: `question/${name}`,
    open: () =>
      checked(
        (turn) => questions.read(targetOf(turn), HOST),
        (question) => assert.equal(question.kind, 'asked'),
      ),
  })
  const known = `/v2/acme/app/manifests/${DIGEST}?ns=ghcr.io`
  return [asked('known', () => known), asked('new', (turn) => `/v2/acme/app/manifests/v${turn}?ns=ghcr.io`)]
}
