import { keyName } from '../verify/public-key.ts'
import type { HeldKey } from '../verify/types.ts'
import { claimClauses, clauseText, LEVEL_FIELD, type Clause } from './claim-words.ts'
import { attestationText, durationText, keyText, windowText } from './describe.ts'
import {
  ageDifferences,
  byRank,
  different,
  laxer,
  listDifferences,
  stricter,
  type Difference,
  type Direction,
} from './diff-change.ts'
import { identityCanonical, identityText } from './identity.ts'
import { containsIdentity } from './implication.ts'
import type { AttestationDemand, Authority, ClaimCheck, IdentityMatcher, SigningWindow } from './types.ts'

/** How an authority of the same name differs. What makes it laxer makes its policy laxer, wherever it counts. */

type SignerOf<K extends Authority['signer']['kind']> = Extract<Authority['signer'], { kind: K }>

export function authorityDifferences(before: Authority, after: Authority): readonly Difference[] {
  const differences = [...signerDifferences(before.signer, after.signer), ...demandDifferences(before, after)]
  return differences.map(({ direction, text }) => ({ direction, text: `authority ${after.name}: ${text}` }))
}

function signerDifferences(before: Authority['signer'], after: Authority['signer']): readonly Difference[] {
  if (before.kind === 'keyless' && after.kind === 'keyless') return keylessDifferences(before, after)
  if (before.kind === 'key' && after.kind === 'key') return keyDifferences(before, after)
  if (before.kind === 'static' && after.kind === 'static') return staticDifferences(before, after)
  return [different(`is of kind ${after.kind} and no longer ${before.kind}`)]
}

function keylessDifferences(before: SignerOf<'keyless'>, after: SignerOf<'keyless'>): readonly Difference[] {
  const { gone, come } = listDifferences(
    before.identities.map(identityEntry),
    after.identities.map(identityEntry),
  )
  return [
    ...trustRootDifferences(before, after),
    ...gone.map((entry) => {
      const still = after.identities.find((other) => containsIdentity(other, entry.identity))
      return still === undefined
        ? stricter(`identity ${entry.text} may sign no longer`)
        : different(`identity ${entry.text} is gone, and may still sign as ${identityText(still)}`)
    }),
    ...come.map((entry) => {
      const already = before.identities.find((other) => containsIdentity(other, entry.identity))
      return already === undefined
        ? laxer(`identity ${entry.text} may sign, too`)
        : different(`identity ${entry.text} is new, and could sign before as ${identityText(already)}`)
    }),
  ]
}

function identityEntry(identity: IdentityMatcher): {
  readonly key: string
  readonly text: string
  readonly identity: IdentityMatcher
} {
  return { key: identityCanonical(identity), text: identityText(identity), identity }
}

function trustRootDifferences(
  before: { readonly trustRoot: string },
  after: { readonly trustRoot: string },
): readonly Difference[] {
  if (before.trustRoot === after.trustRoot) return []
  return [different(`trust root ${after.trustRoot} vouches, and no longer ${before.trustRoot}`)]
}

function keyDifferences(before: SignerOf<'key'>, after: SignerOf<'key'>): readonly Difference[] {
  const { gone, come } = listDifferences(keyEntries(before), keyEntries(after))
  return [
    ...gone.map(({ text }) => stricter(`key ${text} counts no longer`)),
    ...come.map(({ text }) => laxer(`key ${text} counts, too`)),
    ...after.keys.flatMap((held) => {
      const old = before.keys.find(({ key }) => keyName(key) === keyName(held.key))
      return old === undefined ? [] : windowDifferences(keyText(held.key.id), windowOf(old), windowOf(held))
    }),
    ...(after.keyReference !== undefined && after.keyReference === before.keyReference
      ? windowDifferences(after.keyReference, before.during, after.during)
      : []),
    ...logDifferences(before, after),
    ...trustRootDifferences(before, after),
  ]
}

/** A reference stands for itself, whichever keys it stands for now. */
function keyEntries({
  keys,
  keyReference,
}: SignerOf<'key'>): readonly { readonly key: string; readonly text: string }[] {
  if (keyReference !== undefined) return [{ key: keyReference, text: keyReference }]
  return keys.map(({ key }) => ({ key: keyName(key), text: schemeText(key) }))
}

function schemeText(key: HeldKey['key']): string {
  return `${keyText(key.id)}${keyName(key).slice(key.id.length)}`
}

function windowOf({ validFrom, validUntil }: HeldKey): SigningWindow {
  return { from: validFrom, until: validUntil }
}

const ALWAYS: SigningWindow = { from: undefined, until: undefined }

function windowDifferences(
  key: string,
  before: SigningWindow = ALWAYS,
  after: SigningWindow = ALWAYS,
): readonly Difference[] {
  const later = edge(after.from, -Infinity) - edge(before.from, -Infinity) || 0
  const sooner = edge(before.until, Infinity) - edge(after.until, Infinity) || 0
  if (later === 0 && sooner === 0) return []
  const isNarrower = later >= 0 && sooner >= 0
  const isWider = later <= 0 && sooner <= 0
  const direction: Direction = isNarrower ? 'stricter' : isWider ? 'laxer' : 'different'
  const [was, is] = [before, after].map(heldText)
  return [{ direction, text: `key ${key} counts for what was signed ${is}, and no longer ${was}` }]
}

function heldText(window: SigningWindow): string {
  const text = windowText(window)
  return text === '' ? 'at any time' : text
}

function edge(time: Date | undefined, open: number): number {
  return time?.getTime() ?? open
}

function logDifferences(before: SignerOf<'key'>, after: SignerOf<'key'>): readonly Difference[] {
  if (before.transparencyLog === after.transparencyLog) return []
  return after.transparencyLog === 'required'
    ? [stricter('a signature must be in a transparency log')]
    : [laxer('a signature need no longer be in a transparency log')]
}

function staticDifferences(before: SignerOf<'static'>, after: SignerOf<'static'>): readonly Difference[] {
  if (before.action !== after.action) {
    return after.action === 'pass' ? [laxer('lets every image pass')] : [stricter('lets no image pass')]
  }
  return before.message === after.message ? [] : [different(`says "${after.message}"`)]
}

function demandDifferences(before: Authority, after: Authority): readonly Difference[] {
  const [old, now] = [before.attestations, after.attestations]
  if (old.length > 0 === now.length > 0) {
    return [...attestationDifferences(old, now), ...contentDifferences('the signature', before, after)]
  }
  const wanted = now.length > 0 ? now.map(attestationText).join(' and ') : 'a signature'
  const unwanted = old.length > 0 ? old.map(attestationText).join(' and ') : 'a signature'
  return [different(`asks for ${wanted}, and no longer for ${unwanted}`)]
}

function attestationDifferences(
  before: readonly AttestationDemand[],
  after: readonly AttestationDemand[],
): readonly Difference[] {
  const { gone, come } = listDifferences(before.map(demandEntry), after.map(demandEntry))
  return [
    ...gone.map(({ text }) => laxer(`asks no longer for ${text}`)),
    ...come.map(({ text }) => stricter(`asks for ${text}, too`)),
    ...after.flatMap((demand) => {
      const old = before.find((one) => demandEntry(one).key === demandEntry(demand).key)
      return old === undefined ? [] : contentDifferences(`the ${demand.name} attestation`, old, demand)
    }),
  ]
}

function demandEntry(demand: AttestationDemand): { readonly key: string; readonly text: string } {
  return { key: `${demand.name} ${demand.predicateType}`, text: attestationText(demand) }
}

type Content = { readonly checks: readonly ClaimCheck[]; readonly maxAgeMs: number | undefined }

function contentDifferences(what: string, before: Content, after: Content): readonly Difference[] {
  const [old, now] = [before, after].map(({ checks }) => checks.flatMap(claimClauses).map(clauseEntry))
  const { gone, come } = listDifferences(old ?? [], now ?? [])
  // Of a field that is asked for before and after only the values differ.
  const pairs = come.flatMap((is) => {
    const was = gone.find(({ clause }) => clause.field === is.clause.field)
    return was === undefined ? [] : [{ was, is }]
  })
  const paired = new Set(pairs.flatMap(({ was, is }) => [was, is]))
  return [
    ...pairs.map(({ was, is }) => ({
      direction: clauseDirection(was.clause, is.clause),
      text: `${what} must show ${is.text}, and no longer ${was.text}`,
    })),
    ...gone
      .filter((entry) => !paired.has(entry))
      .map(({ text }) => laxer(`${what} need no longer show ${text}`)),
    ...come.filter((entry) => !paired.has(entry)).map(({ text }) => stricter(`${what} must show ${text}`)),
    ...ageDifferences(
      before.maxAgeMs,
      after.maxAgeMs,
      (was, is) => `${what} may be ${ageText(is)}, and no longer ${ageText(was)}`,
    ),
  ]
}

function clauseEntry(clause: Clause): {
  readonly key: string
  readonly text: string
  readonly clause: Clause
} {
  const text = clauseText(clause)
  return { key: text, text, clause }
}

function clauseDirection(was: Clause, is: Clause): Direction {
  if (was.field === LEVEL_FIELD) return byRank(Number(was.anyOf[0]), Number(is.anyOf[0]))
  if (is.anyOf.every((value) => was.anyOf.includes(value))) return 'stricter'
  return was.anyOf.every((value) => is.anyOf.includes(value)) ? 'laxer' : 'different'
}

function ageText(maxAgeMs: number | undefined): string {
  return maxAgeMs === undefined ? 'however old' : `at most ${durationText(maxAgeMs)} old`
}
