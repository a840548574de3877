import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { createCorporation, type Corporation } from '../../testing/pki-evidence.ts'
import { createPkiAuthority, pkiPem } from '../../testing/pki.ts'
import type { TrustRoot } from '../../verify/types.ts'
import { NO_PARTS, type SourceParts } from '../source.ts'
import { PkiSource } from './pki.ts'

const NOW = new Date('2026-06-01T00:00:00Z')

let corp: Corporation

before(async () => {
  corp = await createCorporation()
})

type Opened = { readonly source: PkiSource; readonly files: Record<string, string>; times: SourceParts }

async function open(pem: string): Promise<Opened> {
  const files: Record<string, string> = { 'ca.pem': pem }
  const readFile = async (path: string): Promise<string> => {
    const text = files[path]
    if (text === undefined) throw new Error(`ENOENT ${path}`)
    return text
  }
  const state: { times: SourceParts } = { times: { ...NO_PARTS, roots: [corp.times] } }
  const times = { name: 'sigstore', source: { parts: () => state.times } }
  const source = await PkiSource.open(
    { name: 'corp', path: 'ca.pem', times, refreshEveryMs: 1000 },
    { readFile, now: () => NOW },
  )
  return Object.assign(state, { source, files })
}

/** Root and intermediate that end then. */
function authoritiesUntil(rootEnd: string, issuingEnd: string): string {
  const start = new Date('2020-01-01')
  const root = createPkiAuthority('Root', { validFor: { start, end: new Date(rootEnd) } })
  const validFor = { start, end: new Date(issuingEnd) }
  return pkiPem([root, createPkiAuthority('Issuing', { issuer: root, validFor })])
}

suite('PkiSource', () => {
  test('gives a root for each that gives the times, the same one as long as nothing changes', async () => {
    const opened = await open(pkiPem([corp.root, corp.issuing]))
    const retiring: TrustRoot = { ...corp.times, isRetiring: true }
    const rootsAt = () => opened.source.parts(NOW).roots
    assert.deepEqual(
      rootsAt().map(({ name, kind, isRetiring }) => [name, kind, isRetiring]),
      [['corp', 'pki', false]],
    )
    assert.equal(rootsAt()[0], rootsAt()[0])
    opened.times = { ...NO_PARTS, roots: [(await createCorporation()).times, retiring] }
    assert.deepEqual(
      rootsAt().map(({ isRetiring }) => isRetiring),
      [false, true],
    )
  })

  test('without the times it cannot be used, and says why', async () => {
    const opened = await open(pkiPem([corp.root]))
    opened.times = { ...NO_PARTS, unusable: 'not renewed for 91 d' }
    const { roots, unusable } = opened.source.parts(NOW)
    assert.deepEqual(
      [roots, unusable],
      [[], 'trust root sigstore, which says when something was signed: not renewed for 91 d'],
    )
    const { state, problem } = opened.source.status(NOW)
    assert.deepEqual([state, problem], ['unusable', unusable])
  })

  test('a changed file counts after the next renewal; a damaged one changes nothing and is told', async () => {
    const { source, files } = await open(pkiPem([corp.root]))
    const [first] = source.parts(NOW).roots
    await source.refresh()
    assert.equal(source.parts(NOW).roots[0], first)
    files['ca.pem'] = 'half written'
    await assert.rejects(source.refresh(), { name: 'TrustError', code: 'trust-root' })
    assert.equal(source.parts(NOW).roots[0], first)
    assert.match(source.status(NOW).problem ?? '', /ca\.pem: found no PEM certificates/)
    files['ca.pem'] = pkiPem([corp.root, corp.issuing])
    await source.refresh()
    assert.notEqual(source.parts(NOW).roots[0]?.version, first?.version)
    assert.equal(source.status(NOW).problem, undefined)
  })

  test('no start without the file, or with half of one', async () => {
    await assert.rejects(open(pkiPem([corp.issuing])), /trust root corp: ca\.pem: found no root/)
    const options = {
      name: 'corp',
      path: 'gone.pem',
      times: { name: 't', source: undefined },
      refreshEveryMs: 1,
    }
    const deps = { readFile: () => Promise.reject(new Error('ENOENT')), now: () => NOW }
    await assert.rejects(PkiSource.open(options, deps), /gone\.pem cannot be read: ENOENT/)
  })

  test('shows each authority with its window; one that has a successor is being retired', async () => {
    const old = createPkiAuthority('Issuing', {
      issuer: corp.root,
      validFor: { start: new Date('2024-01-01'), end: new Date('2026-06-10') },
    })
    const { source } = await open(pkiPem([corp.root, corp.issuing, old]))
    const held = source
      .status(NOW)
      .held.map(({ name, until, isRetiring }) => [
        name.replace(/ serial [0-9a-f]+$/, ''),
        until?.toISOString().slice(0, 10) === '2026-06-10',
        isRetiring,
      ])
    assert.deepEqual(held, [
      ['CN=Root,O=Acme', false, false],
      ['CN=Issuing,O=Acme', false, false],
      ['CN=Issuing,O=Acme', true, true],
    ])
    assert.equal(source.status(NOW).state, 'fresh')
  })

  for (const [name, rootEnd, issuingEnd, problem] of [
    ['nothing ends soon', '2030-01-01', '2026-07-02', undefined],
    ['the only intermediate ends soon', '2030-01-01', '2026-06-30', /CN=Issuing,O=Acme ends 2026-06-30T/],
    ['the only root ends soon', '2026-06-15', '2030-01-01', /CN=Root,O=Acme ends 2026-06-15T/],
    ['the only intermediate has ended', '2030-01-01', '2026-05-01', /CN=Issuing,O=Acme ended 2026-05-01T/],
  ] as const) {
    test(`${name}: ${problem === undefined ? 'fresh' : 'stale, and still used'}`, async () => {
      const { source } = await open(authoritiesUntil(rootEnd, issuingEnd))
      const status = source.status(NOW)
      assert.equal(status.state, problem === undefined ? 'fresh' : 'stale')
      if (problem === undefined) assert.equal(status.problem, undefined)
      else assert.match(status.problem ?? '', problem)
      assert.equal(source.parts(NOW).roots.length, 1)
    })
  }
})
