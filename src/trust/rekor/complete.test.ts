import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Agent } from 'undici'
import { digestOf } from '../../oci/digest.ts'
import { decide } from '../../policy/decide.ts'
import type { Policy } from '../../policy/types.ts'
import { NOTHING, OCCASION } from '../../testing/policies.ts'
import { REKOR_FAULTS, type RekorFault } from '../../testing/rekor-faults.ts'
import { startRekorServer, type RekorServer } from '../../testing/rekor-server.ts'
import { createSigstore, type Sigstore } from '../../testing/sigstore.ts'
import { mintUnlogged, policyFor, UNLOGGED_KINDS, type UnloggedFixture } from '../../testing/unlogged.ts'
import { SUBJECT } from '../../testing/verification.ts'
import type { ReadLogEntry } from '../../verify/log-entry-json.ts'
import type { Candidate } from '../../verify/types.ts'
import { verifyCandidate } from '../../verify/verify.ts'
import { createRekorClient } from './client.ts'
import { completeWithEntries, type Findings } from './complete.ts'
import { LogLookUp, type LookUpOptions } from './look-up.ts'
import { createLogSend, type LogAnswer, type SendToLog } from './send.ts'

/** Long enough for a loaded machine to answer on its loopback; only faults that never answer wait for it. */
const TIMEOUT_MS = 250
const NETWORK: ReadonlySet<RekorFault> = new Set(['refused', 'hang', 'slow', '500', '429'])

suite('log entries that are looked up', () => {
  const agent = new Agent()
  let sigstore: Sigstore
  let server: RekorServer
  let minted: UnloggedFixture
  let old: UnloggedFixture

  before(async () => {
    sigstore = await createSigstore()
    server = await startRekorServer(sigstore)
    minted = await mintUnlogged(sigstore)
    old = await mintUnlogged(sigstore, { intoto001: true })
  })
  after(async () => {
    await server.stop()
    await agent.close()
  })

  type Completed = {
    candidates: readonly Candidate[]
    findings: Findings
    kept: readonly (readonly [string, ReadLogEntry])[]
  }

  async function complete(
    fixture: UnloggedFixture,
    candidates: readonly Candidate[],
    {
      policies,
      wrap = (send) => send,
      lookedUp = {},
    }: {
      policies: readonly Policy[]
      wrap?: (send: SendToLog) => SendToLog
      lookedUp?: Pick<LookUpOptions, 'kept' | 'onEvent'>
    },
  ): Promise<Completed> {
    const send = wrap(createLogSend(agent, 'test'))
    const logs = new Map([
      [fixture.root.name, createRekorClient({ url: server.url, send, timeoutMs: TIMEOUT_MS })],
    ])
    const limit = () => new AbortController().signal
    const lookUp = new LogLookUp({ logs, elapsed: () => 0, limit, ...lookedUp })
    const input = { subject: SUBJECT, roots: [fixture.root], keys: [fixture.key] }
    const kept: (readonly [string, ReadLogEntry])[] = []
    const first = candidates.map((candidate) =>
      verifyCandidate(candidate, { ...input, logsToAsk: [...logs.keys()] }),
    )
    const known = {
      verified: first.flatMap(({ verified }) => verified),
      failures: first.flatMap(({ failures }) => failures),
      unlogged: first.flatMap(({ unlogged }) => unlogged ?? []),
      missing: [],
    }
    const completed = await completeWithEntries(candidates, known, policies, {
      lookUp,
      occasion: OCCASION,
      verify: (candidate) => Promise.resolve({ ...verifyCandidate(candidate, input), missing: [] }),
      keep: (log, entry) => void kept.push([log, entry]),
    })
    return { ...completed, kept }
  }

  function verdictOf({ findings }: Completed, policies: readonly Policy[]) {
    const { results } = decide({ ...NOTHING, policies, ...findings })
    return results[0]?.verdict
  }

  for (const kind of UNLOGGED_KINDS) {
    test(`${kind}: found, verified, kept; and then enough without the log`, async () => {
      for (const fixture of [minted, old]) {
        server.behave(undefined)
        const policies = [policyFor(kind, fixture)]
        const completed = await complete(fixture, [fixture.candidates[kind]], { policies })
        assert.equal(verdictOf(completed, policies)?.kind, 'satisfied')
        assert.deepEqual(completed.findings.missing, [])
        const [[log, entry] = []] = completed.kept
        assert.equal(log, fixture.root.name)
        assert.deepEqual(completed.candidates[0]?.logEntries, [entry?.json])
        const proof = completed.findings.verified.flatMap(({ logs }) => logs)
        assert.deepEqual(
          proof.map(({ promise, inclusion }) => [promise, inclusion]),
          [[true, true]],
        )
        const asked = server.requests.length
        const again = await complete(fixture, completed.candidates, { policies })
        assert.equal(verdictOf(again, policies)?.kind, 'satisfied')
        assert.equal(server.requests.length, asked)
      }
    })

    for (const fault of REKOR_FAULTS) {
      test(`${kind}, ${fault}: undetermined for want of the log, and nothing is kept`, async () => {
        for (const fixture of NETWORK.has(fault) ? [minted] : [minted, old]) {
          server.behave(fault)
          const policies = [policyFor(kind, fixture)]
          const completed = await complete(fixture, [fixture.candidates[kind]], { policies })
          const verdict = verdictOf(completed, policies)
          assert.equal(verdict?.kind, 'undetermined')
          assert.deepEqual(
            verdict.causes.map(({ dependency }) => dependency),
            ['rekor'],
          )
          assert.deepEqual(
            completed.findings.missing.map(({ policies: names }) => names),
            [[kind]],
          )
          assert.deepEqual(completed.kept, [])
          assert.equal(completed.candidates[0]?.logEntries, undefined)
        }
      })
    }
  }

  test('the log has no such entry: violated, as without a log', async () => {
    server.behave(undefined)
    const elsewhere = await mintUnlogged(sigstore, { log: 0 })
    for (const kind of UNLOGGED_KINDS) {
      const policies = [policyFor(kind, elsewhere)]
      const completed = await complete(elsewhere, [elsewhere.candidates[kind]], { policies })
      assert.equal(verdictOf(completed, policies)?.kind, 'violated', kind)
    }
  })

  /** The log’s answers with a part of the proof left out. */
  function without(part: 'signedEntryTimestamp' | 'inclusionProof'): (send: SendToLog) => SendToLog {
    return (send) =>
      async (request, signal): Promise<LogAnswer> => {
        const answer = await send(request, signal)
        const json = JSON.parse(answer.body.toString()) as Record<
          string,
          { verification: Record<string, unknown> }
        >[]
        for (const entry of json.flatMap((one) => Object.values(one))) delete entry.verification[part]
        return { ...answer, body: Buffer.from(JSON.stringify(json)) }
      }
  }

  test('a promise alone suffices; a proof alone has no signed time, which a certificate needs', async () => {
    server.behave(undefined)
    for (const [part, kind, expected] of [
      ['inclusionProof', 'key simple signing', 'satisfied'],
      ['inclusionProof', 'keyless simple signing', 'satisfied'],
      ['signedEntryTimestamp', 'key simple signing', 'satisfied'],
      ['signedEntryTimestamp', 'keyless simple signing', 'violated'],
    ] as const) {
      const policies = [policyFor(kind, minted)]
      const completed = await complete(minted, [minted.candidates[kind]], { policies, wrap: without(part) })
      assert.equal(verdictOf(completed, policies)?.kind, expected, `${kind} without ${part}`)
    }
  })

  test('a proof and a timestamp suffice for a certificate', async () => {
    server.behave(undefined)
    const stamped = await mintUnlogged(sigstore, { timestamp: true })
    const policies = [policyFor('keyless simple signing', stamped)]
    const candidate = stamped.candidates['keyless simple signing']
    const completed = await complete(stamped, [candidate], {
      policies,
      wrap: without('signedEntryTimestamp'),
    })
    assert.equal(verdictOf(completed, policies)?.kind, 'satisfied')
  })

  test('logged after its certificate had ended: violated, whatever stance there is', async () => {
    server.behave(undefined)
    const kind = 'keyless simple signing'
    const start = Date.now() - 3_600_000
    let now = start
    const late = await createSigstore({ now: () => new Date(now) })
    await using log = await startRekorServer(late)
    // The log gets the very proposal that this signature makes, an hour later.
    const fixture = await mintUnlogged(late, { log: 0 })
    const input = { subject: SUBJECT, roots: [fixture.root], keys: [] }
    const candidate = fixture.candidates[kind]
    const { unlogged = [] } = verifyCandidate(candidate, { ...input, logsToAsk: [fixture.root.name] })
    now = start + 3_600_000
    await fetch(`${log.url}/api/v1/log/entries`, {
      method: 'POST',
      body: unlogged[0]?.query.proposals[0] ?? '',
    })
    const policies = [policyFor(kind, fixture)]
    const wrap =
      (send: SendToLog): SendToLog =>
      (request, signal) =>
        send({ ...request, url: new URL(request.url.pathname, log.url) }, signal)
    const completed = await complete(fixture, [candidate], { policies, wrap })
    const verdict = verdictOf(completed, policies)
    assert.equal(verdict?.kind, 'violated')
    assert.ok(completed.findings.failures.some(({ code }) => code === 'certificate'))
  })

  test('nothing is asked that would satisfy no policy', async () => {
    server.behave(undefined)
    const stranger = await mintUnlogged(await createSigstore())
    const { candidates } = minted
    const keyless = policyFor('keyless simple signing', minted)
    const someoneElse = {
      ...keyless,
      authorities: keyless.authorities.map((authority) => ({
        ...authority,
        signer: {
          ...policyFor('key simple signing', stranger).authorities[0]?.signer,
          trustRoot: minted.root.name,
        } as typeof authority.signer,
      })),
    }
    for (const [name, policies, held] of [
      ['by a key that no policy names', [someoneElse], [candidates['key simple signing']]],
      ['of a stranger’s Sigstore', [keyless], [stranger.candidates['keyless simple signing']]],
      ['an attestation where a signature is wanted', [keyless], [candidates['keyless attestation']]],
      ['for a policy that is off', [{ ...keyless, mode: 'off' }], [candidates['keyless simple signing']]],
    ] as const) {
      const asked = server.requests.length
      const completed = await complete(minted, held, { policies })
      assert.equal(server.requests.length, asked, name)
      assert.deepEqual(completed.candidates, held)
    }
  })

  /** What whoever may push can make of an attestation: as valid, in other words. */
  function copiesOf(candidate: Candidate, count: number): readonly Candidate[] {
    return Array.from({ length: count }, (_, index) => {
      const bytes = Buffer.from(candidate.bytes.toString().replace('{', `{${' '.repeat(index + 1)}`))
      return { ...candidate, bytes, source: { ...candidate.source, blob: digestOf(bytes) } }
    })
  }

  for (const kind of ['key attestation', 'keyless attestation'] as const) {
    for (const count of [1, 20]) {
      test(`${kind}, behind ${count} copies in other words: found, and by one question`, async () => {
        server.behave(undefined)
        for (const fixture of [minted, old]) {
          const good = fixture.candidates[kind]
          const policies = [policyFor(kind, fixture)]
          const results: string[] = []
          const lookedUp = { onEvent: ({ result }: { result: string }) => void results.push(result) }
          const asked = server.requests.length
          const completed = await complete(fixture, [...copiesOf(good, count), good], { policies, lookedUp })
          assert.equal(verdictOf(completed, policies)?.kind, 'satisfied')
          assert.deepEqual(results, ['found'])
          assert.ok(server.requests.length - asked <= 8)
        }
      })
    }
  }

  test('a copy in other words is as good as the first, where the log kept what both say', async () => {
    server.behave(undefined)
    const kind = 'keyless attestation'
    const policies = [policyFor(kind, minted)]
    const completed = await complete(minted, copiesOf(minted.candidates[kind], 1), { policies })
    assert.equal(verdictOf(completed, policies)?.kind, 'satisfied')
  })

  test('a kept entry that no longer verifies: the log has the word', async () => {
    const kind = 'key simple signing'
    const policies = [policyFor(kind, minted)]
    server.behave(undefined)
    const {
      kept: [[, entry] = []],
    } = await complete(minted, [minted.candidates[kind]], { policies })
    // Of a log that the trust root knows no more.
    const stale = entry?.json.replace(/"logID":"[0-9a-f]{64}"/, `"logID":"${'ab'.repeat(32)}"`)
    for (const [fault, expected] of [
      [undefined, 'satisfied'],
      ['refused', 'undetermined'],
    ] as const) {
      server.behave(fault)
      const lookedUp = { kept: () => stale }
      const completed = await complete(minted, [minted.candidates[kind]], { policies, lookedUp })
      assert.equal(verdictOf(completed, policies)?.kind, expected)
      assert.equal(completed.kept.length, fault === undefined ? 1 : 0, 'what verifies replaces it')
    }
    server.behave(undefined)
    const empty = await createSigstore()
    await using log = await startRekorServer(empty)
    const completed = await complete(minted, [minted.candidates[kind]], {
      policies,
      lookedUp: { kept: () => stale },
      wrap: (send) => (request, signal) =>
        send({ ...request, url: new URL(request.url.pathname, log.url) }, signal),
    })
    assert.equal(verdictOf(completed, policies)?.kind, 'violated', 'the log has none: no outage')
  })
})
