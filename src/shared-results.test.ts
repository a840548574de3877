import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Epoch } from './epoch.ts'
import { digestOf } from './oci/digest.ts'
import type { Judgement, Verdict } from './policy/types.ts'
import { SharedResults } from './shared-results.ts'
import type { Signer, Verified } from './verify/types.ts'

const EPOCH: Pick<Epoch, 'key'> = { key: 'one' }
const BLOB = digestOf(Buffer.from('bundle'))

function keyless(subject: string, run = '1'): Signer {
  const extensions = { runInvocationURI: run }
  const identity = { subject, subjectType: 'uri', issuer: 'https://issuer.test', extensions } as const
  return { kind: 'keyless', trustRoot: 'public-good', identity, byRetiringRoot: false }
}

function satisfiedBy(signer: Signer, until?: Date): Verdict {
  const source = { found: 'referrer', manifest: BLOB, blob: BLOB } as const
  const verified: Verified = { source, signer, claim: { kind: 'signature' }, logs: [], times: [] }
  return { kind: 'satisfied', by: [{ authority: 'release', signer, verified: [verified] }], until }
}

function judgementOf(verdict: Verdict): Judgement {
  const modes = { fallback: 'enforce', byRing: new Map() } as const
  const rest = { version: 'v1', mode: 'enforce', modes, stance: 'closed', runbook: undefined } as const
  return { results: [{ policy: 'signed', ...rest, verdict }] }
}

suite('results that judgements share', () => {
  test('one signer satisfies alike: one array of results, an object for each judgement', () => {
    const shared = new SharedResults()
    const [one, other] = ['1', '2'].map((run) =>
      shared.of(judgementOf(satisfiedBy(keyless('https://ci.test/release', run))), EPOCH),
    )
    assert.equal(one?.results, other?.results)
    assert.notEqual(one, other)
  })

  test('what is told of them is kept, and the proofs are not', () => {
    const { results } = new SharedResults().of(
      judgementOf(satisfiedBy(keyless('https://ci.test/release'))),
      EPOCH,
    )
    const [verdict] = results.map((result) => result.verdict)
    assert.ok(verdict?.kind === 'satisfied')
    const [by] = verdict.by
    assert.ok(by?.signer?.kind === 'keyless')
    assert.deepEqual(
      [by.authority, by.signer.identity.subject, by.verified],
      ['release', 'https://ci.test/release', []],
    )
  })

  const base = judgementOf(satisfiedBy(keyless('https://ci.test/release')))
  const violated: Verdict = { kind: 'violated', reasons: [] }
  for (const { name, other, epoch = EPOCH } of [
    { name: 'another signer', other: judgementOf(satisfiedBy(keyless('https://ci.test/nightly'))) },
    { name: 'a key', other: judgementOf(satisfiedBy({ kind: 'key', key: 'sha256:1' })) },
    { name: 'an end', other: judgementOf(satisfiedBy(keyless('https://ci.test/release'), new Date(1))) },
    { name: 'a violation', other: judgementOf(violated) },
    { name: 'another epoch', other: base, epoch: { key: 'two' } },
  ]) {
    test(`${name} has results of its own`, () => {
      const shared = new SharedResults()
      const { results } = shared.of(base, EPOCH)
      const found = shared.of(other, epoch).results
      assert.notEqual(found, results)
      assert.deepEqual(
        found.map((result) => result.verdict.kind),
        other.results.map((result) => result.verdict.kind),
      )
    })
  }

  test('what ends keeps its end', () => {
    const until = new Date(1)
    const { results } = new SharedResults().of(
      judgementOf(satisfiedBy(keyless('https://ci.test/release'), until)),
      EPOCH,
    )
    const [verdict] = results.map((result) => result.verdict)
    assert.equal(verdict?.kind === 'satisfied' ? verdict.until : undefined, until)
  })
})
