import assert from 'node:assert/strict'
import test from 'node:test'
import { admissionText, refusalMessage, warningText } from './refusal.ts'
import type { PolicyResult, Reason } from './types.ts'

const REASON: Reason = {
  code: 'wrong-identity',
  authority: 'release',
  found: 'a signature by ci@acme.com (issuer https://accounts.example, trust root public-good)',
  expected: 'one by release@acme.com (issuer https://accounts.example)',
}

const modes = { fallback: 'enforce', byRing: new Map() } as const
const COMMON = { version: 'sha256:1', mode: 'enforce', modes, stance: 'closed' } as const

function violated(reasons: readonly Reason[], policy = 'acme', runbook?: string): PolicyResult {
  return { ...COMMON, policy, runbook, verdict: { kind: 'violated', reasons } }
}

function held(message: string): PolicyResult {
  const causes = [{ dependency: 'registry', message }] as const
  return { ...COMMON, policy: 'acme', runbook: undefined, verdict: { kind: 'undetermined', causes } }
}

const refuse = (...by: PolicyResult[]) => ({ kind: 'refuse', by, warnings: [] }) as const
const hold = (...by: PolicyResult[]) => ({ kind: 'hold', by, warnings: [] }) as const

test('a refusal says who, what, what instead, where to read on and which record', () => {
  const { line, code } = refusalMessage(refuse(violated([REASON], 'acme', 'https://wiki.example/x')), 'd-1')
  const expected = `blocked by policy acme: ${REASON.found}, expected ${REASON.expected}; https://wiki.example/x; decision d-1`
  assert.equal(line, expected)
  assert.equal(code, 'DENIED')
})

test('a hold says what is missing and that it will pass', () => {
  const message = refusalMessage(hold(held('referrers of ghcr.io timed out')), 'd-2')
  const line = 'held by policy acme: referrers of ghcr.io timed out; retry later; decision d-2'
  assert.deepEqual(message, { line, reasonPhrase: line, code: 'UNAVAILABLE' })
})

test('of several policies the first is named and the others are counted', () => {
  const { line } = refusalMessage(refuse(violated([REASON], 'one'), violated([REASON], 'two')), 'd')
  assert.match(line, /^blocked by policy one \(\+1 more\): /)
})

test('of several reasons the most telling is given', () => {
  const unsigned: Reason = { code: 'unsigned', authority: 'a', found: 'no signature at all', expected: 'one' }
  assert.match(refusalMessage(refuse(violated([unsigned, REASON])), 'd').line, /: a signature by ci@acme.com/)
})

const HOSTILE: readonly (readonly [name: string, found: string])[] = [
  ['a header injection', 'x\r\nSet-Cookie: a=b\r\n\r\n<html>'],
  ['control characters', 'x\u0000\u001b[31mred\u007f'],
  ['what is not ASCII', 'gr\u00fc\u00df \u202e gnp.exe \u{1f600}'],
  ['a very long text', 'x'.repeat(100_000)],
  ['a forged end', `; decision forged ${'y'.repeat(5000)}`],
]

for (const [name, found] of HOSTILE) {
  test(`data from outside cannot break the line: ${name}`, () => {
    const result = violated([{ ...REASON, found, expected: found }], 'acme', 'https://wiki.example/x')
    for (const outcome of [refuse(result), hold(held(found))]) {
      const { line, reasonPhrase } = refusalMessage(outcome, 'd-3')
      assert.match(line, /^[\x20-\x7e]{1,1000}$/)
      assert.match(reasonPhrase, /^[\x20-\x7e]{1,500}$/)
      assert.match(line, /^(?:blocked|held) by policy acme: .*; decision d-3$/)
      assert.match(reasonPhrase, /^(?:blocked|held) by policy acme: .*; decision d-3$/)
    }
    const warning = warningText(result, 'd-3')
    assert.match(warning, /^would be blocked by policy acme: [\x20-\x7e]*; decision d-3$/)
    assert.ok(warning.length <= 700)
  })
}

test('a long runbook gives way in the reason phrase, not in the line', () => {
  const runbook = `https://wiki.example/${'x'.repeat(160)}`
  const { line, reasonPhrase } = refusalMessage(refuse(violated([REASON], 'acme', runbook)), 'd')
  assert.ok(line.includes(runbook))
  assert.ok(!reasonPhrase.includes('wiki.example'))
})

test('a warning is safe between the quotes of its header', () => {
  const text = warningText(violated([{ ...REASON, found: 'a "quote" and a \\ backslash' }]), 'd')
  assert.ok(!/["\\]/.test(text), text)
})

test('a warning tells a hold from a refusal', () => {
  assert.match(warningText(held('timed out'), 'd'), /^would be held by policy acme: timed out; decision d$/)
})

test('what was served unjudged says by which stance, of whom and why, safe inside a quoted string', () => {
  const text = admissionText({ result: held('ghcr.io said "no" \\ 503'), by: 'open' }, 'd-4')
  assert.equal(
    text,
    "not verified, served by stance open of policy acme: ghcr.io said 'no' / 503; decision d-4",
  )
  assert.ok(admissionText({ result: held('x'.repeat(9000)), by: 'last-verified' }, 'd').length <= 700)
})
