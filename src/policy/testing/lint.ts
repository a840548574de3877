import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { bindPolicies } from '../bind.ts'
import { lint } from '../lint.ts'
import type { LintCode, LintFinding } from '../lint-finding.ts'
import { keyless, loaded, policy } from './documents.ts'

export const NOW = new Date('2026-06-01T00:00:00Z')

function pem(): string {
  return generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

export const [KEY, OTHER_KEY] = [pem(), pem()]

export type Json = Readonly<Record<string, unknown>>

export function lintOf(documents: readonly Json[], rings: readonly string[] = []): readonly LintFinding[] {
  const { entries, revocations, set } = loaded(documents)
  const bound = bindPolicies(set, { roots: new Map(), unusable: new Map(), keys: new Map() })
  const policies = entries.map((entry, index) => ({
    ...entry,
    policy: bound.policies[index] ?? entry.policy,
  }))
  return lint({ policies, revocations, rings, now: NOW })
}

export const keyed = (name: string, data: string, more: Json = {}): Json => ({ name, key: { data, ...more } })
export const identities = (...all: readonly Json[]): Json =>
  policy('acme', { authorities: [keyless('release', ...all)] })

/** What the rule finds, and what it leaves alone. */
export type LintCase = {
  readonly code: LintCode
  readonly name: string
  readonly bad: readonly Json[]
  readonly says: RegExp
  readonly severity?: LintFinding['severity']
  readonly good: readonly Json[]
  readonly rings?: readonly string[]
}

export function testLint(cases: readonly LintCase[]): void {
  for (const { code, name, bad, says, severity, good, rings } of cases) {
    test(`${code}: ${name}`, () => {
      const [found] = lintOf(bad, rings).filter((finding) => finding.code === code)
      assert.ok(
        found,
        `expected ${code}, found ${
          lintOf(bad, rings)
            .map((one) => one.code)
            .join(', ') || 'nothing'
        }`,
      )
      assert.match(found.what, says)
      if (severity !== undefined) assert.equal(found.severity, severity)
      assert.match(found.place, /^\d\.yaml:1$/)
      assert.ok(found.why !== '' && found.mend !== '')
      assert.deepEqual(
        lintOf(good, rings).filter((finding) => finding.code === code),
        [],
      )
    })
  }
}
