import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorAnswer } from '../http/answer.ts'
import { parseDigest, type Digest } from '../oci/digest.ts'
import type { News } from '../peers.ts'
import { ManifestRoute } from './manifest.ts'
import type { RoutedRequest } from './request.ts'

/** A route in a process of its own; `told` is what it told the others. */
function startRoute(clock: { ms: number }) {
  const told: News[] = []
  const listeners: ((news: News) => void)[] = []
  const unused = (): never => assert.fail('nothing is pulled')
  const route = new ManifestRoute({
    puller: { pull: unused, pullWarm: () => undefined },
    modeOf: () => 'enforce',
    hardStop: 'auto',
    deadline: unused,
    peers: { tell: (news) => void told.push(news), onNews: (listener) => void listeners.push(listener) },
    onPull: unused,
    onError: unused,
    elapsed: () => clock.ms,
  })
  return { route, told, hear: (news: News) => listeners.forEach((listener) => listener(news)) }
}

const REFUSED = errorAnswer({
  status: 403,
  code: 'DENIED',
  message: 'blocked by policy signed: no signature',
})
const ASKER = { method: 'HEAD', fallsBack: true, ring: {} as never, repositoryName: 'ghcr.io/acme/app' }

function head({ route }: ReturnType<typeof startRoute>): Digest {
  const { headers } = route.final(REFUSED, ASKER, { kind: 'tag', tag: 'v1' as never })
  const digest = parseDigest(headers['docker-content-digest'] ?? '')
  assert.ok(digest !== undefined)
  return digest
}

function get({ route }: ReturnType<typeof startRoute>, digest: Digest): unknown {
  const request = { ...ASKER, method: 'GET' } as unknown as RoutedRequest
  return route.answerWarm(request, { kind: 'digest', digest })?.answer
}

test('the document of a refusal is had of the process that did not make it, too', () => {
  const [one, two] = [startRoute({ ms: 0 }), startRoute({ ms: 0 })]
  const digest = head(one)
  assert.deepEqual(get(one, digest), REFUSED)
  assert.equal(get(two, digest), undefined)
  for (const news of one.told) two.hear(news)
  assert.deepEqual(get(two, digest), REFUSED)
  assert.deepEqual(two.told, [], 'what is heard is not told on')
})

test('a storm of refusals is told once a second, and again to who has begun since', () => {
  const clock = { ms: 0 }
  const one = startRoute(clock)
  for (let asked = 0; asked < 10; asked++) head(one)
  assert.equal(one.told.length, 1)
  clock.ms = 1_000
  head(one)
  assert.equal(one.told.length, 2)
})
