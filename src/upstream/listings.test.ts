import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { nextLink } from './link.ts'
import { createTestClient, startScriptedServer, type Reply, type Script } from './testing/scripted-server.ts'
import { UpstreamError } from './types.ts'

const repository = { registry: 'test', name: 'team/app' }
const subject = digestOf(Buffer.from('image'))
const never = new AbortController().signal
const index = 'application/vnd.oci.image.index.v1+json'

function page(headers: Record<string, string> = {}): Reply {
  return { headers: { 'content-type': index, ...headers }, body: '{"manifests":[]}' }
}

function hasCode(code: string) {
  return (error: unknown) => error instanceof UpstreamError && error.code === code
}

async function referrers(script: Script) {
  await using server = await startScriptedServer(script)
  await using client = createTestClient(server.url)
  const pages = await client.getReferrers(repository, subject, never)
  return { pages: pages?.length, targets: server.seen.map(({ target }) => target) }
}

describe('getReferrers', () => {
  for (const status of [400, 404, 405, 406]) {
    test(`${status}: no such API`, async () => {
      assert.equal((await referrers(() => ({ status }))).pages, undefined)
    })
  }

  test('another media type: no such API', async () => {
    assert.equal((await referrers(() => ({ headers: { 'content-type': 'text/html' } }))).pages, undefined)
  })

  for (const [status, code] of [
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [429, 'rate-limited'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ] as const) {
    test(`${status} is no absence`, () =>
      assert.rejects(
        referrers(() => ({ status })),
        hasCode(code),
      ))
  }

  test('follows relative and absolute links on the same host', async () => {
    const found = await referrers(({ target, headers }) => {
      if (target.includes('n=2')) return page()
      const link = target.includes('n=1') ? `http://${String(headers.host)}/v2/x?n=2` : '/v2/x?n=1'
      return page({ link: `<${link}>; rel="next"` })
    })
    const path = `/v2/team/app/referrers/${subject}`
    assert.deepEqual(found, { pages: 3, targets: [path, `${path}?n=1`, `${path}?n=2`] })
  })

  test('endless pages end at eight', async () => {
    let next = 0
    const found = await referrers(() => page({ link: `</v2/x?n=${next++}>; rel="next"` }))
    assert.deepEqual([found.pages, found.targets.length], [8, 8])
  })

  test('a link to another host is not followed', async () => {
    const link = '<https://attacker.example/v2/x>; rel="next"'
    await assert.rejects(
      referrers(() => page({ link })),
      hasCode('invalid'),
    )
  })

  test('a promised page that is missing is no absence', async () => {
    const script: Script = ({ target }) =>
      target.includes('n=1') ? { status: 404 } : page({ link: '</v2/x?n=1>; rel="next"' })
    await assert.rejects(referrers(script), hasCode('unavailable'))
  })

  test('a page over 1 MiB', async () => {
    const body = Buffer.alloc(1024 * 1024 + 1, ' ')
    await assert.rejects(
      referrers(() => ({ ...page(), body })),
      hasCode('invalid'),
    )
  })
})

describe('getTags', () => {
  const list = async (reply: Reply, query = {}) => {
    await using server = await startScriptedServer(() => reply)
    await using client = createTestClient(server.url)
    const tags = await client.getTags(repository, query, never)
    return { ...tags, target: server.seen[0]?.target }
  }

  test('asks for a page and gives what are tags', async () => {
    const reply = {
      headers: { link: '</v2/team/app/tags/list?last=v2&n=2>; rel="next"' },
      body: '{"name":"x","tags":["v1","../v2"]}',
    }
    const found = await list(reply, { n: 2, last: 'v0&x' })
    assert.deepEqual(found, { tags: ['v1'], more: true, target: '/v2/team/app/tags/list?n=2&last=v0%26x' })
  })

  test('no tags', async () => {
    assert.deepEqual(await list({ body: '{"tags":null}' }), {
      tags: [],
      more: false,
      target: '/v2/team/app/tags/list',
    })
  })

  for (const body of ['<html>', '[]', '{"tags":[1]}', '']) {
    test(`refuses ${JSON.stringify(body)}`, () => assert.rejects(list({ body }), hasCode('invalid')))
  }
})

describe('nextLink', () => {
  const cases: [string, string | string[] | undefined, string | undefined][] = [
    ['quoted', '</a?n=1>; rel="next"', '/a?n=1'],
    ['unquoted', '</a>;rel=next', '/a'],
    ['among others', '</p>; rel="prev", </a,b>; title="x, y"; rel="next last"', '/a,b'],
    ['in a second field', ['</p>; rel="prev"', '</n>; rel="next"'], '/n'],
    ['another relation', '</a>; rel="nextish"', undefined],
    ['no relation', '</a>', undefined],
    ['nothing', undefined, undefined],
    ['overlong', `<${'a'.repeat(9_000)}>; rel="next"`, undefined],
  ]
  for (const [name, header, expected] of cases) {
    test(name, () => assert.equal(nextLink(header), expected))
  }
})
