import assert from 'node:assert/strict'
import test from 'node:test'
import { load, problems } from './testing/loaded.ts'

test('trust roots of every kind', async () => {
  const text = `
trust:
  roots:
    corp: { kind: tuf, url: "https://tuf.example.com/", root: root.json }
    other: { kind: tuf, url: "https://tuf.example.com", rootDigest: "sha256:${'a'.repeat(64)}", rekor: { url: "https://rekor.example.com" } }
    own: { kind: pinned, path: new.json, previous: { path: old.json, until: 2027-03-01 } }
    pki: { kind: pki, certificates: ca.pem, times: other }
    release: { kind: keys, keys: [{ path: a.pem, validUntil: 2027-03-01T12:00:00+01:00 }, { path: b.pem }] }
  publications: { acme: { directory: tuf } }
`
  const at = (name: string): string => `/etc/portcullis/${name}`
  const files = ['root.json', 'new.json', 'old.json', 'ca.pem', 'a.pem', 'b.pem']
  const { trust } = await load(text, {}, Object.fromEntries(files.map((name) => [at(name), 'x'])))
  const mirrored = {
    kind: 'tuf',
    url: 'https://tuf.example.com',
    rootVersion: 1,
    target: 'trusted_root.json',
  }
  assert.deepEqual(Object.fromEntries(trust.roots), {
    corp: { ...mirrored, root: at('root.json') },
    other: {
      ...mirrored,
      rootDigest: `sha256:${'a'.repeat(64)}`,
      rekor: { url: 'https://rekor.example.com' },
    },
    own: {
      kind: 'pinned',
      path: at('new.json'),
      previous: { path: at('old.json'), until: new Date('2027-03-01') },
    },
    pki: { kind: 'pki', certificates: at('ca.pem'), times: 'other' },
    release: {
      kind: 'keys',
      keys: [{ path: at('a.pem'), validUntil: new Date('2027-03-01T11:00:00Z') }, { path: at('b.pem') }],
    },
  })
  assert.deepEqual([...trust.publications], [['acme', at('tuf')]])
  assert.equal((await problems(text)).length, files.length - 1)
})

const TRUST_FAULTS: readonly (readonly [string, string, RegExp])[] = [
  [
    'no root to begin with',
    '{ kind: tuf, url: "https://t.example" }',
    /found neither, expected either root or/,
  ],
  [
    'two of them',
    `{ kind: tuf, url: "https://t.example", root: r, rootDigest: "sha256:${'a'.repeat(64)}" }`,
    /found both/,
  ],
  ['no web address', '{ kind: tuf, url: "ftp://t.example", root: r }', /expected an http or https URL/],
  ['credentials in the address', '{ kind: tuf, url: "https://me:pw@t.example", root: r }', /without query/],
  ['a kind that there is not', '{ kind: gpg }', /kind/],
  [
    'an empty window',
    '{ kind: keys, keys: [{ path: a, validFrom: 2027-01-01, validUntil: 2027-01-01 }] }',
    /not after/,
  ],
  ['no key', '{ kind: keys, keys: [] }', /keys/],
  ['a PKI without times', '{ kind: pki, certificates: a }', /trust\.roots\.r\.times/],
  [
    'a PKI with times of a root that there is not',
    '{ kind: pki, certificates: a, times: b }',
    /found "b", expected a trust root of kind/,
  ],
  [
    'a PKI with its own times',
    '{ kind: pki, certificates: a, times: r }, own: { kind: pinned, path: b }',
    /trust\.roots\.r\.times: found "r", expected own/,
  ],
  [
    'a PKI with times of keys',
    '{ kind: pki, certificates: a, times: k }, k: { kind: keys, keys: [{ path: b }] }',
    /trust\.roots\.r\.times: found "k"/,
  ],
  ['no date', '{ kind: pinned, path: a, previous: { path: b, until: soon } }', /expected a date such as/],
]

for (const [name, root, problem] of TRUST_FAULTS) {
  test(`a trust root does not load: ${name}`, async () => {
    assert.match((await problems(`trust: { roots: { r: ${root} } }`)).join('\n'), problem)
  })
}

const RENEWAL_FAULTS: readonly (readonly [string, RegExp | undefined])[] = [
  ['refreshEvery: 8h, staleAfter: 12h, unusableAfter: 1d', undefined],
  [
    'refreshEvery: 8h, staleAfter: 12h, unusableAfter: 23h',
    /trust\.unusableAfter: found less than 3 times trust\.refreshEvery/,
  ],
  ['kms: { refreshEvery: 8h, keyMaxAge: 1d }', undefined],
  [
    'kms: { refreshEvery: 8h, keyMaxAge: 23h }',
    /trust\.kms\.keyMaxAge: found less than 3 times trust\.kms\.refreshEvery/,
  ],
]

for (const [trust, problem] of RENEWAL_FAULTS) {
  test(`a renewal may fail: ${trust}`, async () => {
    if (problem === undefined) await load(`trust: { ${trust} }`)
    else assert.match((await problems(`trust: { ${trust} }`)).join('\n'), problem)
  })
}

test('hosts of a KMS', async () => {
  const hosts = ['KMS.corp.test:8443', '10.0.0.1', '[fd00::1]:443']
  const { trust } = await load(`trust: { kms: { endpoints: ${JSON.stringify(hosts)} } }`)
  assert.deepEqual(trust.kms.endpoints, ['kms.corp.test:8443', '10.0.0.1', '[fd00::1]:443'])
  for (const host of ['https://kms.corp.test', 'me@kms.corp.test', 'kms.corp.test/x', 'a:99999', '']) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time reads better when it fails
    const found = await problems(`trust: { kms: { endpoints: [${JSON.stringify(host)}] } }`)
    assert.match(found.join(), /trust\.kms\.endpoints/, host)
  }
})

test('trust that would never warn, and two things of one name', async () => {
  const late = await problems('trust: { staleAfter: 90d, unusableAfter: 90d }')
  assert.match(late.join(), /trust\.unusableAfter: found no more than trust\.staleAfter/)
  const twice = await problems('trust: { publications: { public-good: { directory: tuf } } }')
  assert.match(twice.join(), /both would be served as \/tuf\/public-good\//)
})
