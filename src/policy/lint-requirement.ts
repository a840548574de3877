import { keyName } from '../verify/public-key.ts'
import { keyText, listed, requirementShape } from './describe.ts'
import { sharedExample } from './glob-witness.ts'
import { identityCanonical, identityText } from './identity.ts'
import { containsIdentity, holdsWith } from './implication.ts'
import type { LintPolicy, LintRevocation, Remark } from './lint-finding.ts'
import type { Authority, Denial, Policy, Requirement } from './types.ts'

/** Which authorities count, and whether they ever can. */

const AT: Remark['path'] = ['spec', 'require']

export function lintRequirement(
  subject: LintPolicy,
  revocations: readonly LintRevocation[],
): readonly Remark[] {
  const { policy } = subject
  const deaths = deathsOf(subject, revocations)
  const dead = new Set(
    policy.authorities.filter((authority) => isDead(authority, deaths)).map(({ name }) => name),
  )
  return [
    ...deaths.map(revokedSigner),
    ...staticRemarks(policy),
    ...deadParts(policy, dead),
    ...sameSigners(policy),
  ]
}

/** What a revocation takes away from an authority. */
type Death = {
  readonly authority: Authority
  readonly revocation: string
  /** The identity or key. */
  readonly whom: string
  readonly canonical: string
  /** Only within a window: what is signed outside of it still counts. */
  readonly isPartial: boolean
  readonly path: Remark['path']
}

function deathsOf({ policy, globs }: LintPolicy, revocations: readonly LintRevocation[]): readonly Death[] {
  const relevant = revocations.filter(
    ({ revocation, globs: others }) =>
      revocation.mode !== 'off' &&
      globs.some((glob) => others.some((other) => sharedExample(glob, other) !== undefined)),
  )
  return relevant.flatMap(({ revocation }) =>
    policy.authorities.flatMap((authority, index) =>
      revocation.denials.flatMap((denial) =>
        deniedSigners(authority, denial).map(({ whom, canonical }) => ({
          authority,
          revocation: revocation.name,
          whom,
          canonical,
          isPartial: isWindowed(denial),
          path: ['spec', 'authorities', index],
        })),
      ),
    ),
  )
}

function isWindowed(denial: Denial): boolean {
  if (denial.kind === 'digest') return false
  return denial.during.from !== undefined || denial.during.until !== undefined
}

function deniedSigners(
  { signer }: Authority,
  denial: Denial,
): readonly { readonly whom: string; readonly canonical: string }[] {
  if (denial.kind === 'key' && signer.kind === 'key') {
    const denied = signer.keys.filter(({ key }) => key.id === denial.id)
    return denied.map(({ key }) => ({ whom: `key ${keyText(key.id)}`, canonical: keyName(key) }))
  }
  if (denial.kind !== 'identity' || signer.kind !== 'keyless' || denial.trustRoot !== signer.trustRoot)
    return []
  const denied = signer.identities.filter((identity) => containsIdentity(denial.identity, identity))
  return denied.map((identity) => ({ whom: identityText(identity), canonical: identityCanonical(identity) }))
}

/** Whether nobody can satisfy it, whatever is signed. A key that is looked up elsewhere may be another one tomorrow. */
function isDead(authority: Authority, deaths: readonly Death[]): boolean {
  const { signer } = authority
  if (signer.kind === 'static') return signer.action === 'fail'
  const gone = new Set(
    deaths
      .filter((death) => death.authority === authority && !death.isPartial)
      .map(({ canonical }) => canonical),
  )
  if (signer.kind === 'keyless') return signer.identities.every((one) => gone.has(identityCanonical(one)))
  return signer.keyReference === undefined && signer.keys.every(({ key }) => gone.has(keyName(key)))
}

function revokedSigner({ authority, revocation, whom, isPartial, path }: Death): Remark {
  const what = `revocation ${revocation} refuses what is signed by ${whom}, whom authority ${authority.name} asks for`
  return isPartial
    ? {
        severity: 'note',
        code: 'revoked-signer',
        path,
        what: `${what}, within a window`,
        why: 'images signed in it are refused, and so is what has no verified time',
        mend: 'sign again what is still to be run',
      }
    : {
        severity: 'warning',
        code: 'revoked-signer',
        path,
        what,
        why: 'an image that satisfies the policy this way is refused all the same',
        mend: 'name another signer here, or give the revocation the window in which the signer was compromised',
      }
}

function staticRemarks({ authorities, requirement }: Policy): readonly Remark[] {
  return authorities.flatMap(({ name, signer }, index) => {
    if (signer.kind !== 'static' || signer.action !== 'pass') return []
    const isEnough = holdsWith(requirement, (authority) => authority === name)
    const remark: Remark = {
      severity: 'warning',
      code: 'static-pass',
      path: ['spec', 'authorities', index],
      what: `authority ${name} is satisfied by every image (static pass)`,
      why: isEnough
        ? 'so the policy lets every image through, signed or not'
        : 'it asks for nothing, and what stands beside it is all that counts',
      mend: 'name who must sign; to let images through for now, set mode observe and read the decisions',
    }
    return [remark]
  })
}

/** Of a requirement that cannot be met the whole, else the alternatives in it that cannot. */
function deadParts({ requirement, authorities }: Policy, dead: ReadonlySet<string>): readonly Remark[] {
  const canHold = (part: Requirement): boolean => holdsWith(part, (name) => !dead.has(name))
  if (!canHold(requirement)) return [neverSatisfied(authorities)]
  return alternativesIn(requirement)
    .filter((part) => !canHold(part))
    .map((part) => ({
      severity: 'warning',
      code: 'dead-alternative',
      path: AT,
      what: `the alternative "${requirementShape(part)}" can never be met`,
      why: 'it looks like a way to satisfy the policy and is none',
      mend: 'drop it, or mend the authority that stops it',
    }))
}

function alternativesIn(requirement: Requirement): readonly Requirement[] {
  if (requirement.kind !== 'any' && requirement.kind !== 'all') return []
  const nested = requirement.of.flatMap(alternativesIn)
  return requirement.kind === 'any' && requirement.of.length > 1 ? [...requirement.of, ...nested] : nested
}

/** To refuse everything is what a static authority is for; with a revocation it is what somebody must know. */
function neverSatisfied(authorities: readonly Authority[]): Remark {
  const isMeant = authorities.every(({ signer }) => signer.kind === 'static')
  return {
    severity: isMeant ? 'note' : 'warning',
    code: 'never-satisfied',
    path: AT,
    what: 'nothing can satisfy the policy',
    why: 'in mode enforce every image that it matches is refused',
    mend: isMeant ? 'nothing, where that is the purpose' : 'name a signer who can still sign',
  }
}

/** The only signer that an authority can have, in one form for one signer; undefined where several can satisfy it. */
function soleSigner({ signer }: Authority): string | undefined {
  if (signer.kind === 'static') return undefined
  if (signer.kind === 'key') {
    if (signer.keyReference !== undefined) return signer.keyReference
    const [first, ...others] = signer.keys
    return first === undefined || others.length > 0 ? undefined : keyName(first.key)
  }
  const [first, ...others] = signer.identities
  const isOne = others.length === 0 && first?.subject?.kind === 'exact' && first.issuer?.kind === 'exact'
  return isOne ? JSON.stringify([signer.trustRoot, first.issuer, first.subject]) : undefined
}

function sameSigners({ requirement, authorities }: Policy): readonly Remark[] {
  const signers = new Map(authorities.map((authority) => [authority.name, soleSigner(authority)]))
  return thresholdsIn(requirement).flatMap(({ count, of }) => {
    const groups = Map.groupBy(of, (name) => signers.get(name) ?? `authority ${name}`)
    return [...groups.values()].flatMap((names) => {
      if (names.length < 2) return []
      const isReachable = groups.size >= count
      const remark: Remark = {
        severity: isReachable ? 'warning' : 'error',
        code: 'same-signer',
        path: AT,
        what: `authorities ${listed(names, 'and')} of the threshold ${count} of ${of.length} are one and the same signer`,
        why: isReachable
          ? 'a threshold counts signers, so together they count once'
          : `a threshold counts signers, so there are only ${groups.size}, and nothing can satisfy it`,
        mend: 'give each its own key or identity',
      }
      return [remark]
    })
  })
}

type Threshold = Extract<Requirement, { kind: 'threshold' }>

function thresholdsIn(requirement: Requirement): readonly Threshold[] {
  if (requirement.kind === 'threshold') return [requirement]
  return requirement.kind === 'authority' ? [] : requirement.of.flatMap(thresholdsIn)
}
