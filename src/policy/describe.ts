import { clauseText, claimClauses } from './claim-words.ts'
import { identityText } from './identity.ts'
import { matcherText } from './matcher.ts'
import { modeIn } from './ring.ts'
import type {
  AttestationDemand,
  Authority,
  ClaimCheck,
  Denial,
  IdentityMatcher,
  Policy,
  Requirement,
  Revocation,
  RingModes,
  SigningWindow,
} from './types.ts'
import type { HeldKey } from '../verify/types.ts'

/** What policies demand, in plain words: clauses without a stop, whose values are as the operator wrote them. */

/** Hex digits of a key id that a person needs to tell two keys apart. */
const KEY_ID_DIGITS = 16

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

/** "30 days": the largest unit that divides it. */
export function durationText(ms: number): string {
  const [unit, size] = UNITS.find(([, unitMs]) => ms % unitMs === 0) ?? ['millisecond', 1]
  const count = ms / size
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/** "a, b and c". */
export function listed(items: readonly string[], word: 'and' | 'or'): string {
  if (items.length < 2) return items[0] ?? ''
  return `${items.slice(0, -1).join(', ')} ${word} ${items.at(-1)}`
}

/** "observe", or "observe; in ring canary enforce". */
export function modesText(modes: RingModes): string {
  const rings = [...modes.byRing.keys()].toSorted()
  const own = rings.filter((ring) => modeIn(modes, ring) !== modes.fallback)
  return [modes.fallback, ...own.map((ring) => `in ring ${ring} ${modeIn(modes, ring)}`)].join('; ')
}

/** What an image needs to be accepted. */
export function demandText({
  requirement,
  authorities,
}: Pick<Policy, 'requirement' | 'authorities'>): string {
  const byName = new Map(authorities.map((authority) => [authority.name, authority]))
  return requirementText(requirement, (name) => {
    const authority = byName.get(name)
    return authority === undefined ? name : `${authorityText(authority)} [${name}]`
  })
}

/** The same without saying what each authority is. */
export function requirementShape(requirement: Requirement): string {
  return requirementText(requirement, (name) => name)
}

function requirementText(requirement: Requirement, clauseOf: (authority: string) => string): string {
  const partsOf = (parts: readonly Requirement[]): readonly string[] =>
    parts.map((part) => {
      const text = requirementText(part, clauseOf)
      return part.kind === 'authority' ? text : `(${text})`
    })
  switch (requirement.kind) {
    case 'authority':
      return clauseOf(requirement.name)
    case 'any':
      return joined(partsOf(requirement.of), 'either ', 'or')
    case 'all':
      return joined(partsOf(requirement.of), 'both ', 'and')
    case 'threshold': {
      const { count, of } = requirement
      return `${count} of ${of.length} by different signers: ${of.map(clauseOf).join('; ')}`
    }
  }
}

/** Clauses have commas of their own, so that only a semicolon tells more than two of them apart. */
function joined(parts: readonly string[], opening: string, word: 'and' | 'or'): string {
  if (parts.length < 2) return parts[0] ?? ''
  if (parts.length === 2) return `${opening}${parts.join(` ${word} `)}`
  return `${parts.slice(0, -1).join('; ')}; ${word} ${parts.at(-1)}`
}

/** What the authority must have made, and who it is. */
export function authorityText(authority: Authority): string {
  const { signer, attestations, checks, maxAgeMs } = authority
  if (signer.kind === 'static') {
    const why = signer.message === '' ? '' : ` (${signer.message})`
    return signer.action === 'pass'
      ? 'nothing: every image passes'
      : `what cannot be had: no image passes${why}`
  }
  const by = signerText(signer)
  if (attestations.length === 0) return `a signature ${by}${checksText(checks)}${ageText(maxAgeMs)}`
  return listed(
    attestations.map(
      (demand, index) =>
        `${attestationText(demand)}${index === 0 ? ` ${by}` : ' by the same'}${contentText(demand)}`,
    ),
    'and',
  )
}

export function attestationText({ name, predicateType }: AttestationDemand): string {
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name} attestation (${predicateType})`
}

function contentText({ checks, maxAgeMs }: AttestationDemand): string {
  return `${checksText(checks)}${ageText(maxAgeMs)}`
}

function checksText(checks: readonly ClaimCheck[]): string {
  const clauses = checks.flatMap(claimClauses).map(clauseText)
  return clauses.length === 0 ? '' : `, with ${listed(clauses, 'and')}`
}

function ageText(maxAgeMs: number | undefined): string {
  return maxAgeMs === undefined ? '' : `, at most ${durationText(maxAgeMs)} old`
}

/** "by … or …", "with key …". */
function signerText(signer: Exclude<Authority['signer'], { kind: 'static' }>): string {
  if (signer.kind === 'keyless') {
    return `by ${listed(signer.identities.map(identityText), 'or')} of trust root ${signer.trustRoot}`
  }
  const { keys, keyReference, transparencyLog, trustRoot } = signer
  const named = listed(keys.map(heldKeyText), 'or')
  const key = keyReference === undefined ? named : `${keyReference}${named === '' ? '' : ` (now ${named})`}`
  return `with key ${key}${transparencyLog === 'required' ? ` that is in a log of trust root ${trustRoot}` : ''}`
}

function heldKeyText(held: HeldKey): string {
  const { validFrom, validUntil } = held
  const window = windowText({ from: validFrom, until: validUntil })
  return `${keyText(held.key.id)}${window === '' ? '' : ` (counts for what was signed ${window})`}`
}

export function keyText(id: string): string {
  return id.slice(0, 'sha256:'.length + KEY_ID_DIGITS)
}

/** "from … until …"; empty where it is open at both ends. */
export function windowText({ from, until }: SigningWindow): string {
  const parts = [
    ...(from === undefined ? [] : [`from ${from.toISOString()}`]),
    ...(until === undefined ? [] : [`until ${until.toISOString()}`]),
  ]
  return parts.join(' ')
}

/** What an authority rests on: whom one has to believe so that it can be satisfied. */
export function basisOf({ signer }: Authority): string {
  if (signer.kind === 'static') return 'nothing'
  if (signer.kind === 'keyless') return `trust root ${signer.trustRoot} for who signed and when`
  const key =
    signer.keyReference ??
    listed(
      signer.keys.map(({ key: { id } }) => keyText(id)),
      'and',
    )
  return `key ${key}${signer.transparencyLog === 'required' ? `, and trust root ${signer.trustRoot} for the log` : ''}`
}

/** What the revocation refuses. */
export function refusalText({ denials }: Pick<Revocation, 'denials'>): string {
  return listed(denials.map(denialText), 'or')
}

export function denialText(denial: Denial): string {
  if (denial.kind === 'digest') return `the image ${denial.digest}`
  const window = windowText(denial.during)
  const when = window === '' ? '' : `, signed ${window} or at a time that nobody vouches for`
  return `${deniedText(denial)}${when}`
}

function deniedText(denial: Exclude<Denial, { kind: 'digest' }>): string {
  switch (denial.kind) {
    case 'identity':
      return `whatever is signed by ${identityOf(denial)}`
    case 'key':
      return `whatever is signed with key ${keyText(denial.id)}`
    case 'builder':
      return `whatever was built by ${matcherText(denial.builder)}`
  }
}

function identityOf({ identity, trustRoot }: { identity: IdentityMatcher; trustRoot: string }): string {
  return `${identityText(identity)} of trust root ${trustRoot}`
}
