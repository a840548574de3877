import { keyName } from '../verify/public-key.ts'
import type { HeldKey } from '../verify/types.ts'
import { satisfiedBy, type Occasion } from './authority.ts'
import type { Authority, Policy, Requirement, Verdict } from './types.ts'

/** A policy's version is one word, so what follows the first blank is who satisfied it. */
const SEPARATOR = ' by '

/**
 * Under which versions it is remembered that the policy is satisfied, or, where it is not, under which it could be. A
 * version says which reference the policy names, not which keys that stands for. So what a referenced key satisfied is
 * remembered by that key: it ends with the key, and not because another one joins. Of several signers only one that
 * satisfies alone is remembered. Where authorities are needed together, it ends with any change of any key.
 */
export function factVersionsOf(policy: Policy, verdict: Verdict, occasion: Occasion): readonly string[] {
  const { version, authorities, requirement } = policy
  if (authorities.every((authority) => referenceOf(authority) === undefined)) return [version]
  const names = isAnyOne(requirement)
    ? authorities.flatMap((authority) =>
        verdict.kind === 'satisfied'
          ? satisfiersOf(authority, verdict.by, occasion)
          : possibleSatisfiersOf(authority),
      )
    : [allKeysOf(authorities)]
  return [...new Set(names)].map((name) => `${version}${SEPARATOR}${name}`)
}

/** Whether any authority that it names is enough by itself. */
function isAnyOne(requirement: Requirement): boolean {
  switch (requirement.kind) {
    case 'authority':
      return true
    case 'any':
      return requirement.of.every(isAnyOne)
    case 'all':
    case 'threshold':
      return false
  }
}

/** Every key that any reference stands for now, and when each counts: as long as none of that changes. */
function allKeysOf(authorities: readonly Authority[]): string {
  const keys = authorities.flatMap((authority) => {
    const { signer } = authority
    const reference = referenceOf(authority)
    if (signer.kind !== 'key' || reference === undefined) return []
    return signer.keys.map((held) => `${nameInWindow(reference, held)}${held.isCurrent ? ' now' : ''}`)
  })
  return [...new Set(keys)].toSorted().join(', ')
}

/** The policy's own version: what a violation ends, whoever satisfied it before. */
export function demandedIn(factVersion: string): string {
  const [version = ''] = factVersion.split(SEPARATOR, 1)
  return version
}

function referenceOf({ signer }: Authority): string | undefined {
  return signer.kind === 'key' ? signer.keyReference : undefined
}

/** A change of what a policy names itself changes its version. */
const ITSELF = 'itself'

function satisfiersOf(
  authority: Authority,
  by: Extract<Verdict, { kind: 'satisfied' }>['by'],
  occasion: Occasion,
): readonly string[] {
  const own = by.filter((one) => one.authority === authority.name)
  const verified = own.flatMap((one) => one.verified)
  const { signer } = authority
  const reference = referenceOf(authority)
  if (signer.kind !== 'key' || reference === undefined) return own.length > 0 ? [ITSELF] : []
  const isEnough = (held: HeldKey): boolean =>
    satisfiedBy({ ...authority, signer: { ...signer, keys: [held] } }, verified, occasion).length > 0
  return signer.keys.flatMap((held) => [
    ...(held.isCurrent && isEnough(held) ? [nameOf(reference, held)] : []),
    ...(isWindowed(held) && isEnough({ ...held, isCurrent: false }) ? [nameInWindow(reference, held)] : []),
  ])
}

function possibleSatisfiersOf(authority: Authority): readonly string[] {
  const { signer } = authority
  const reference = referenceOf(authority)
  if (signer.kind !== 'key' || reference === undefined) return [ITSELF]
  return signer.keys.flatMap((held) => [
    ...(held.isCurrent ? [nameOf(reference, held)] : []),
    ...(isWindowed(held) ? [nameInWindow(reference, held)] : []),
  ])
}

function isWindowed({ validFrom, validUntil }: HeldKey): boolean {
  return validFrom !== undefined || validUntil !== undefined
}

function nameOf(reference: string, { key }: HeldKey): string {
  return `${reference} ${keyName(key)}`
}

/** Proven to have signed inside: which no longer says anything where the window is moved. */
function nameInWindow(reference: string, held: HeldKey): string {
  const [from, until] = [held.validFrom, held.validUntil].map((edge) => edge?.toISOString() ?? '')
  return `${nameOf(reference, held)} within ${from}/${until}`
}
