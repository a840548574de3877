import assert from 'node:assert/strict'
import test from 'node:test'
import * as z from 'zod'
import { actionsSigner, attestedBy, GITHUB_V1, IMAGE, SUMMARY_V1, TYPE } from '../testing/provenance.ts'
import { claimShape, compileClaimChecks } from './claim-document.ts'
import { pathText } from './problem.ts'
import type { ClaimCheck } from './types.ts'

const schema = z.strictObject(claimShape)

type Compiled = { readonly checks: readonly ClaimCheck[]; readonly problems: readonly string[] }

function compiled(document: unknown, type: string | undefined): Compiled {
  const problems: string[] = []
  const checks = compileClaimChecks(schema.parse(document), type, ['attestations', 0], (path, message) => {
    problems.push(`${pathText(path)}: ${message}`)
    return undefined
  })
  return { checks, problems }
}

const SLSA = { sources: ['https://github.com/acme/app'] }
const VSA = { verifiers: ['https://verifier.example/v1'], levels: ['SLSA_BUILD_LEVEL_2'] }
const SBOM = 'https://spdx.dev/Document'

const MISPLACED: Readonly<
  Record<string, readonly [document: unknown, type: string | undefined, problem: RegExp]>
> = {
  'slsa of an SBOM': [
    { slsa: SLSA },
    SBOM,
    /^attestations\[0\]\.slsa: found slsa for predicate type https:\/\/spdx/,
  ],
  'slsa of a signature': [{ slsa: SLSA }, undefined, /\.slsa: found slsa for a plain signature/],
  'vsa of provenance': [
    { vsa: VSA },
    TYPE.v1,
    /\.vsa: found vsa for predicate type https:\/\/slsa\.dev\/provenance/,
  ],
  'vsa of a signature': [{ vsa: VSA }, undefined, /\.vsa: found vsa for a plain signature/],
  'a summary of which nothing is asked': [{}, TYPE.vsa, /nothing is asked, expected vsa with verifiers/],
  'an expression about a statement of a signature': [
    { expressions: [{ expression: 'statement.predicateType == ""' }] },
    undefined,
    /\.expressions\[0\]\.expression: found unknown variable statement/,
  ],
}

for (const [name, [document, type, problem]] of Object.entries(MISPLACED)) {
  test(`${name} does not load`, () => assert.match(compiled(document, type).problems.join('\n'), problem))
}

test('nothing asked is nothing checked', () => {
  for (const type of [undefined, SBOM, TYPE.v1])
    assert.deepEqual(compiled({}, type), { checks: [], problems: [] })
})

test('all that is asked is checked', () => {
  const expressions = [{ expression: 'slsa.sourceRef.startsWith("refs/tags/")' }]
  const { checks, problems } = compiled({ slsa: SLSA, expressions }, TYPE.v1)
  assert.deepEqual(problems, [])
  const verified = attestedBy(actionsSigner(), TYPE.v1, GITHUB_V1)
  assert.deepEqual(
    checks.map((check) => check.check(verified, IMAGE)),
    [undefined, undefined],
  )
})

test('a summary that failed never passes, though only an expression is asked for', () => {
  const { checks } = compiled(
    { expressions: [{ expression: 'has(statement.predicate.verifier)' }] },
    TYPE.vsa,
  )
  const outcomes = (predicate: unknown): readonly boolean[] =>
    checks.map((one) => one.check(attestedBy(actionsSigner(), TYPE.vsa, predicate), IMAGE) === undefined)
  assert.deepEqual(outcomes(SUMMARY_V1), [true, true])
  assert.deepEqual(outcomes({ ...SUMMARY_V1, verificationResult: 'FAILED' }), [false, true])
})

test('the published schema has every key with its description', () => {
  const json = JSON.stringify(z.toJSONSchema(schema, { io: 'input' }))
  for (const key of ['builders', 'sourceRefs', 'verifiers', 'expression'])
    assert.ok(json.includes(`"${key}"`), key)
})
