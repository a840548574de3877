import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signingFacts } from './signing.ts'
import { digest } from './store/testing/state.ts'
import { slsaStatement } from './testing/statements.ts'
import type { Verified } from './verify/types.ts'

describe('signingFacts', () => {
  const source = { found: 'referrer', manifest: digest('m'), blob: digest('b') } as const
  const signature: Verified = {
    source,
    signer: { kind: 'key', key: 'sha256:1' },
    claim: { kind: 'signature' },
    logs: [],
    times: [],
  }
  const attested = (predicateType: string): Verified => {
    const statement = slsaStatement({ name: 'a', sha256: digest('a').slice('sha256:'.length) })
    return {
      ...signature,
      claim: { kind: 'attestation', statement: { ...statement, predicateType } },
    } as Verified
  }
  const cases = [
    { name: 'nothing', verified: [], facts: [false, false] },
    { name: 'a signature', verified: [signature], facts: [true, false] },
    { name: 'provenance', verified: [attested('https://slsa.dev/provenance/v1')], facts: [true, true] },
    { name: 'old provenance', verified: [attested('https://slsa.dev/provenance/v0.2')], facts: [true, true] },
    { name: 'an SBOM', verified: [attested('https://spdx.dev/Document')], facts: [true, false] },
  ]
  for (const { name, verified, facts } of cases) {
    it(name, () => {
      const { isSigned, hasProvenance } = signingFacts(verified)
      assert.deepEqual([isSigned, hasProvenance], facts)
    })
  }
})
