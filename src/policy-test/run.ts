import { repositoryName } from '../oci/reference.ts'
import { bindPolicies, keyReferencesOf, type BindingTrust } from '../policy/bind.ts'
import { decide, enforce } from '../policy/decide.ts'
import { policiesFor, revocationsFor, type IndexedPolicySet } from '../policy/policy-index.ts'
import { refusalMessage, warningText } from '../policy/refusal.ts'
import { inRing, type Ring } from '../policy/ring.ts'
import type { Outcome, PolicyResult, Reason } from '../policy/types.ts'
import type { MissingCause } from '../policy/verdict.ts'
import type { HeldKey, KeySet, TrustRoot } from '../verify/types.ts'
import { evidenceOf, keyFor } from './evidence.ts'
import type { TestCase, TestSuite } from './suite.ts'

/** What test cases are run against. */
export type TestSetting = {
  readonly set: IndexedPolicySet
  /** Every trust root of the configuration, by name; a root that cannot be read verifies no bundle. */
  readonly rootNames: ReadonlySet<string>
  readonly roots: readonly TrustRoot[]
  /** Key sets of the configuration, by reference. */
  readonly keys: ReadonlyMap<string, KeySet>
  readonly rings: ReadonlyMap<string, Ring>
  /** For cases that name no time. */
  readonly now: Date
}

/** Something that did not come out as it was expected to: one clause each. */
type Mismatch = { readonly what: string; readonly expected: string; readonly found: string }

export type CaseResult = {
  readonly suite: string
  readonly case: TestCase
  /** Empty: it passed. */
  readonly mismatches: readonly Mismatch[]
  readonly outcome: Outcome['kind']
  readonly results: readonly PolicyResult[]
  /** What the client is shown: the refusal, or the warnings. */
  readonly messages: readonly string[]
}

/** Stands where a record has the id of a decision. */
const DECISION = 'policy-test'

export function runSuite(suite: TestSuite, setting: TestSetting): readonly CaseResult[] {
  const set = suite.unmatched === undefined ? setting.set : { ...setting.set, unmatched: suite.unmatched }
  return suite.cases.map((one) => runCase(one, suite, { ...setting, set }))
}

/** Judges the image as the proxy does from step 7 on: decide, the modes of the ring, enforce, what the client is shown. */
function runCase(one: TestCase, suite: TestSuite, setting: TestSetting): CaseResult {
  const now = one.now ?? setting.now
  const set = bindPolicies(setting.set, trustOf(one, suite, { ...setting, now }))
  const name = repositoryName(one.repository)
  const policies = policiesFor(set, name)
  const { roots } = setting
  const judgement = decide({
    ...evidenceOf(one, { roots, policies: set.policies, now }),
    policies,
    revocations: revocationsFor(set, name),
    unmatched: set.unmatched,
    missing: missingOf(one),
    manifestReasons: [],
    image: { ...one.repository, digest: one.digest },
    now,
  })
  const ring = setting.rings.get(one.ring) ?? { name: one.ring, stanceLimit: undefined }
  const { results } = inRing(judgement, ring)
  const outcome = enforce(
    { results },
    {
      wasSatisfied: ({ policy }) => one.satisfiedBefore.includes(policy),
      mayOpen: () => one.openBudget === 'left',
    },
  )
  const messages =
    outcome.kind === 'serve'
      ? outcome.warnings.map((result) => warningText(result, DECISION))
      : [refusalMessage(outcome, DECISION).line]
  const found = { outcome: outcome.kind, results, messages, warnings: outcome.warnings }
  return {
    suite: suite.file,
    case: one,
    mismatches: mismatchesOf(one, found),
    outcome: outcome.kind,
    results,
    messages,
  }
}

/** Outages of this kind take away a key or a trust root, the others what is asked for of the image. */
function missingOf({ outages }: TestCase): readonly MissingCause[] {
  return outages.flatMap(({ dependency, message }) =>
    dependency === 'kms' || dependency === 'trust' ? [] : [{ dependency, message }],
  )
}

function trustOf(
  { outages }: TestCase,
  suite: TestSuite,
  { set, rootNames, keys, now }: Pick<TestSetting, 'set' | 'rootNames' | 'keys' | 'now'>,
): BindingTrust {
  const outageOf = (dependency: 'kms' | 'trust', name: string): string | undefined =>
    outages.find((one) => one.dependency === dependency && (one.name ?? name) === name)?.message
  const unusable = [...rootNames].flatMap((name) => {
    const message = outageOf('trust', name)
    return message === undefined ? [] : [[name, message] as const]
  })
  const gone = new Set(unusable.map(([name]) => name))
  const held = keyReferencesOf(set).map((reference): readonly [string, KeySet] => {
    const message = outageOf('kms', reference)
    if (message !== undefined) return [reference, { kind: 'missing', dependency: 'kms', message }]
    const own = suite.keys.get(reference)
    const known = own === undefined ? keys.get(reference) : undefined
    return [reference, known === undefined ? alwaysHeld(own ?? keyFor(reference)) : heldAt(known, now)]
  })
  return {
    roots: new Map([...rootNames].filter((name) => !gone.has(name)).map((name) => [name, undefined])),
    unusable: new Map(unusable),
    keys: new Map(held),
  }
}

function alwaysHeld(key: HeldKey['key']): KeySet {
  const always = { validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }
  return { kind: 'held', keys: [{ key, ...always }] }
}

/** The set as it is at the time of the case. */
function heldAt(set: KeySet, now: Date): KeySet {
  if (set.kind === 'missing') return set
  const keys = set.keys.map((held) => {
    const { validFrom, validUntil } = held
    const isCurrent =
      (validFrom === undefined || validFrom <= now) && (validUntil === undefined || now < validUntil)
    return { ...held, isCurrent }
  })
  return { kind: 'held', keys }
}

type Found = Pick<CaseResult, 'outcome' | 'results' | 'messages'> & {
  readonly warnings: readonly PolicyResult[]
}

function mismatchesOf({ expect }: TestCase, found: Found): readonly Mismatch[] {
  const { outcome, policies = {}, reasons = [], warnings, message = [] } = expect
  return [
    ...differs('outcome', outcome, found.outcome),
    ...Object.entries(policies).flatMap(([name, verdict]) =>
      differs(`policy ${name}`, verdict, verdictOf(name, found.results)),
    ),
    ...reasons
      .filter((code) => !reasonsIn(found.results).some((reason) => reason.code === code))
      .map((code) => ({ what: 'reasons', expected: code, found: codesText(found.results) })),
    ...(warnings === undefined
      ? []
      : differs('warnings', namesText(warnings), namesText(found.warnings.map(({ policy }) => policy)))),
    ...message
      .filter((text) => !found.messages.some((shown) => shown.includes(text)))
      .map((text) => ({ what: 'message', expected: `"${text}"`, found: quoted(found.messages) })),
  ]
}

function differs(what: string, expected: string | undefined, found: string): readonly Mismatch[] {
  return expected === undefined || expected === found ? [] : [{ what, expected, found }]
}

function verdictOf(name: string, results: readonly PolicyResult[]): string {
  return (
    results.find(({ policy }) => policy === name)?.verdict.kind ?? 'a policy that says nothing of this image'
  )
}

function reasonsIn(results: readonly PolicyResult[]): readonly Reason[] {
  return results.flatMap(({ verdict }) => (verdict.kind === 'violated' ? verdict.reasons : []))
}

function codesText(results: readonly PolicyResult[]): string {
  return namesText(reasonsIn(results).map(({ code }) => code))
}

function namesText(names: readonly string[]): string {
  return names.length === 0 ? 'none' : [...new Set(names)].toSorted().join(', ')
}

function quoted(messages: readonly string[]): string {
  return messages.length === 0 ? 'no message' : messages.map((text) => `"${text}"`).join(' and ')
}
