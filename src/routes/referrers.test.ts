import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import {
  BUNDLE,
  entryOf,
  listOf,
  MemoryRegistry,
  SUBJECT,
  subjectTag,
} from '../discover/testing/memory-registry.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { mergeReferrers } from '../oci/referrers.ts'
import { WorkError } from '../work/work-error.ts'
import { createReferrersRoute, type ReferrersRouteDeps } from './referrers.ts'

const request = { repository: { registry: 'test', name: 'team/app' } }
const workLimit = () => new AbortController().signal
const runner = {
  mergeReferrers: (...lists: Parameters<typeof mergeReferrers>) => Promise.try(mergeReferrers, ...lists),
}

function entry(name: string, fields: object = {}): object {
  return { ...entryOf(MEDIA_TYPE.ociManifest, Buffer.from(name)), ...fields }
}

const Listing = z.object({ manifests: z.array(z.looseObject({ digest: z.string() })) })

function ask(registry: MemoryRegistry, artifactType?: string, deps: Partial<ReferrersRouteDeps> = {}) {
  const route = createReferrersRoute({ runner, workLimit, ...deps })
  return route(request, { digest: SUBJECT, artifactType }, registry.client)
}

function listed(body: Buffer): readonly object[] {
  return Listing.parse(JSON.parse(body.toString())).manifests
}

describe('a listing', () => {
  test('has what the API and the tag name, each once and as the API says', async () => {
    const registry = new MemoryRegistry()
    registry.putManifest(listOf([entry('tagged'), entry('both', { artifactType: 'old' })]), subjectTag(''))
    registry.pages = [listOf([entry('both', { artifactType: 'new' })]), listOf([entry('listed')])]
    const answer = await ask(registry)
    assert.deepEqual([answer.status, answer.headers['content-type']], [200, MEDIA_TYPE.ociIndex])
    assert.deepEqual(
      listed(answer.body).map((one) => ({ annotations: undefined, ...one })),
      [entry('tagged'), entry('both', { artifactType: 'new' }), entry('listed')].map((one) => ({
        ...one,
        annotations: {},
      })),
    )
  })

  test('is filtered, and says so', async () => {
    const registry = new MemoryRegistry()
    registry.pages = [listOf([entry('a', { artifactType: BUNDLE }), entry('b')])]
    const answer = await ask(registry, BUNDLE)
    assert.deepEqual([listed(answer.body).length, answer.headers['oci-filters-applied']], [1, 'artifactType'])
  })

  test('leaves out bad entries and places to fetch from', async () => {
    const registry = new MemoryRegistry()
    registry.pages = [listOf([null, { digest: 'x' }, entry('a', { urls: ['https://elsewhere.test/x'] })])]
    const [only, ...others] = listed((await ask(registry)).body)
    assert.deepEqual([only !== undefined && 'urls' in only, others], [false, []])
  })

  test('is made once for all who ask for the same at the same time', async () => {
    const registry = new MemoryRegistry()
    registry.pages = [listOf([entry('a', { artifactType: BUNDLE })])]
    const route = createReferrersRoute({ runner, workLimit })
    const types = [undefined, undefined, BUNDLE, BUNDLE]
    const askAll = () =>
      Promise.all(
        types.map((artifactType) => route(request, { digest: SUBJECT, artifactType }, registry.client)),
      )
    const answers = await askAll()
    assert.ok(answers.every(({ status }) => status === 200))
    assert.equal(registry.asked.filter((key) => key === 'referrers').length, 2)
    await askAll()
    assert.equal(registry.asked.filter((key) => key === 'referrers').length, 4, 'nothing is kept')
  })
})

describe('a failure', () => {
  const failures: Record<string, [status: number, registry: (registry: MemoryRegistry) => unknown]> = {
    'a page that is not JSON': [502, (registry) => (registry.pages = [Buffer.from('<html>')])],
    'a page that two readers read differently': [
      502,
      (registry) => (registry.pages = [Buffer.from('{"manifests":[],"Manifests":[]}')]),
    ],
    'an API that is down': [503, (registry) => registry.broken.set('referrers', 'unavailable')],
    'a tag that cannot be read': [503, (registry) => registry.broken.set(subjectTag(''), 'timeout')],
  }
  for (const [name, [status, make]] of Object.entries(failures)) {
    test(`${name} is ${status}`, async () => {
      const registry = new MemoryRegistry()
      make(registry)
      assert.equal((await ask(registry)).status, status)
    })
  }

  test('no time to read the lists is 503', async () => {
    const busy = { mergeReferrers: () => Promise.reject(new WorkError('overloaded', 'too much waits')) }
    assert.equal((await ask(new MemoryRegistry(), undefined, { runner: busy })).status, 503)
  })

  test('an error of our own is none of upstream', async () => {
    const broken = { mergeReferrers: () => Promise.reject(new TypeError('bug')) }
    await assert.rejects(ask(new MemoryRegistry(), undefined, { runner: broken }), TypeError)
  })
})
