import assert from 'node:assert/strict'
import test from 'node:test'
import { criteriaOf, DAY_MS } from '../rollout/criteria.ts'
import { held, IMAGE, NOTHING } from '../testing/policies.ts'
import {
  BUILDER,
  CASES,
  EXTENSIONS,
  GITHUB,
  ISSUER,
  KEYS,
  sourcesOf,
  SUBJECT,
  V02,
  VSA,
  WORDS,
  WORKFLOW,
} from '../testing/policy-fields.ts'
import { readPublicKey, signerOf } from '../verify/public-key.ts'
import type { PublicKey, Signer, Verified } from '../verify/types.ts'
import { bindPolicies, type BindingTrust } from './bind.ts'
import { decide, enforce, type DecisionInput } from './decide.ts'
import { policyJsonSchema } from './document.ts'
import { loadPolicies } from './load.ts'
import { patienceOf } from './patience.ts'
import { policiesFor } from './policy-index.ts'
import { isRecord } from './problem.ts'
import { refusalMessage, warningText } from './refusal.ts'
import { inRing } from './ring.ts'
import type { Judgement } from './types.ts'

/**
 * A field that is accepted and then ignored is a hole (CVE-2025-29778). For every field of the schema there are two
 * documents below that differ in nothing else, and some evidence on which they come to another verdict or outcome, or
 * of which one does not load. Only what is there to be read may change no more than words.
 */

type Json = Readonly<Record<string, unknown>>

function keyOf(text: string, options: Parameters<typeof readPublicKey>[1] = {}): PublicKey {
  const key = readPublicKey(text, options)
  assert.ok('id' in key)
  return key
}

function keyless(issuer: string, subject: string, extensions: Readonly<Record<string, string>>): Signer {
  const identity = { subject, issuer, subjectType: 'uri', extensions } as const
  return { kind: 'keyless', trustRoot: 'public-good', identity, byRetiringRoot: false }
}

const CI = keyless(ISSUER, SUBJECT, Object.fromEntries(EXTENSIONS.map((name) => [name, 'right'])))
const HOSTED = keyless(GITHUB, WORKFLOW, { runnerEnvironment: 'github-hosted' })

const { digest } = IMAGE
const MADE = new Date('2026-05-01T00:00:00Z')

function by(signer: Signer, predicateType?: string, predicate: unknown = {}): Verified {
  const attested = {
    kind: 'attestation',
    statement: { predicateType: predicateType ?? '', predicate },
  } as const
  return {
    source: { found: 'referrer', manifest: digest, blob: digest },
    signer,
    claim: predicateType === undefined ? { kind: 'signature' } : attested,
    logs: [],
    times: [{ trustRoot: 'public-good', source: 'log', authority: 'aa', time: MADE }],
  }
}

const provenance = (builder: string): Json => ({
  builder: { id: builder },
  buildType: 'https://ci.example/type',
  invocation: { configSource: { uri: 'git+https://git.example/acme/app@refs/tags/v1' } },
  materials: [{ uri: 'git+https://git.example/acme/app@refs/tags/v1' }],
  metadata: { buildInvocationId: 'https://ci.example/runs/1' },
})
const summary = {
  verifier: { id: 'https://verifier.example' },
  resourceUri: 'ghcr.io/acme/app',
  policy: { uri: 'https://verifier.example/policy' },
  verificationResult: 'PASSED',
  verifiedLevels: ['SLSA_BUILD_LEVEL_2'],
}

const EVIDENCE: readonly Partial<DecisionInput>[] = [
  {},
  { missing: [{ dependency: 'registry', message: 'down' }] },
  { verified: [by(CI)] },
  { verified: [by(keyless(ISSUER, SUBJECT, {}), V02, provenance(BUILDER))] },
  { verified: [by(HOSTED, V02, provenance(WORKFLOW))] },
  { verified: [by(CI, VSA, summary)] },
  { verified: [by(CI, 'https://spdx.dev/Document')] },
  { verified: [by(signerOf(keyOf(KEYS.kms)))] },
  { verified: [by(signerOf(keyOf(KEYS.set)))] },
  ...([{}, { hashAlgorithm: 'sha384' }, { padding: 'pss' }] as const).map((options) => ({
    verified: [by(signerOf(keyOf(KEYS.one, options)))],
  })),
]

const heldOf = (text: string) => ({ kind: 'held', keys: [held(keyOf(text))] }) as const
const TRUST: BindingTrust = {
  roots: new Map(['public-good', 'internal'].map((name) => [name, []])),
  unusable: new Map(),
  keys: new Map([
    ['awskms:///alias/release', heldOf(KEYS.kms)],
    ['awskms:///alias/other', heldOf(KEYS.other)],
    ['keys:release-keys', heldOf(KEYS.set)],
    ['keys:other-keys', heldOf(KEYS.other)],
  ]),
}

type Effect = { readonly verdicts: unknown; readonly words: unknown }

/** What is seen of a document from outside; undefined where it does not load. No version: that is only a hash. */
function effectOf(document: unknown): Effect | undefined {
  const load = loadPolicies(sourcesOf(document))
  if (!load.ok) return undefined
  const set = bindPolicies(load.set, TRUST)
  const policies = policiesFor(set, `${IMAGE.registry}/${IMAGE.name}`)
  const judgements = EVIDENCE.map((evidence) => decide({ ...NOTHING, policies, ...evidence }))
  const figures = { ageMs: 7 * DAY_MS, pulls: 10, images: 10, wouldBlocks: 10 }
  const criteria = set.policies.map(({ rollout }) =>
    rollout === undefined ? [] : criteriaOf(rollout, figures).map(({ holds }) => holds),
  )
  return {
    verdicts: [judgements.map((judgement) => outcomesOf(judgement)), criteria, patienceIn(policies)],
    words: judgements.map((judgement) => wordsOf(judgement)),
  }
}

/** How long a pull waits for a verdict that it could not come to. */
function patienceIn(policies: DecisionInput['policies']): unknown {
  return patienceOf({ policies, revocations: [] }, { name: 'default', stanceLimit: undefined })
}

const STANCES = { wasSatisfied: () => true, mayOpen: () => true }

function outcomesOf(judgement: Judgement): unknown {
  const kinds = judgement.results.map(({ verdict }) => verdict.kind)
  return [kinds, ...['default', 'canary'].map((name) => outcomeIn(judgement, name).kind)]
}

function outcomeIn(judgement: Judgement, name: string): ReturnType<typeof enforce> {
  return enforce(inRing(judgement, { name, stanceLimit: undefined }), STANCES)
}

function wordsOf(judgement: Judgement): unknown {
  const outcome = outcomeIn(judgement, 'default')
  const authorities = judgement.results.map(({ verdict }) =>
    verdict.kind === 'satisfied' ? verdict.by.map((by) => by.authority) : [],
  )
  const lines =
    outcome.kind === 'serve'
      ? outcome.warnings.map((result) => warningText(result, 'd'))
      : refusalMessage(outcome, 'd').line
  return [authorities, lines]
}

function leavesOf(schema: unknown, path: string, within: readonly string[] = []): readonly string[] {
  if (!isRecord(schema)) return []
  const { $ref: reference, anyOf, items, properties, additionalProperties: others } = schema
  if (typeof reference === 'string') {
    // What is nested in itself has the same fields once more.
    if (within.includes(reference)) return []
    return leavesOf(definition(reference), path, [...within, reference])
  }
  if (Array.isArray(anyOf)) return anyOf.flatMap((one) => leavesOf(one, path, within))
  if (isRecord(items)) return leavesOf(items, `${path}[]`, within)
  if (isRecord(others)) return leavesOf(others, `${path}{}`, within)
  if (!isRecord(properties)) return [path]
  return Object.entries(properties).flatMap(([key, value]) =>
    leavesOf(value, path === '' ? key : `${path}.${key}`, within),
  )
}

const SCHEMA = policyJsonSchema()

function definition(reference: string): unknown {
  const definitions = 'definitions' in SCHEMA ? SCHEMA.definitions : '$defs' in SCHEMA ? SCHEMA.$defs : {}
  return isRecord(definitions) ? definitions[reference.split('/').at(-1) ?? ''] : undefined
}

test('every field of the schema has its case, and every case its field', () => {
  const fields = new Set(leavesOf(SCHEMA, ''))
  assert.deepEqual([...fields].toSorted(), [...CASES.keys(), ...WORDS.keys()].toSorted())
})

for (const [path, { before, after }] of CASES) {
  test(`${path} changes a verdict`, () => {
    const effect = effectOf(before)
    assert.ok(effect, 'the document loads')
    assert.notDeepEqual(effectOf(after)?.verdicts, effect.verdicts)
  })
}

for (const [path, { before, after }] of WORDS) {
  test(`${path} is there to be read`, () => {
    const effect = effectOf(before)
    assert.ok(effect, 'the document loads')
    assert.deepEqual(effectOf(after)?.verdicts, effect.verdicts)
    assert.notDeepEqual(effectOf(after)?.words, effect.words)
  })
}
