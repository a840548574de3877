import type { KeySet, TrustRoot } from '../verify/types.ts'
import type { HeldItem } from './source.ts'

/** What @sigstore/verify puts for a missing end: the largest Date. */
const END_OF_TIME_MS = 8_640_000_000_000_000

/** Logs and authorities of a root, each with its window. */
export function inventoryOf({ material, isRetiring }: TrustRoot): readonly HeldItem[] {
  const item = (what: HeldItem['what'], name: string, validFor: { start: Date; end: Date }): HeldItem => ({
    what,
    name,
    from: validFor.start,
    until: validFor.end.getTime() === END_OF_TIME_MS ? undefined : validFor.end,
    isRetiring,
  })
  return [
    ...material.certificateAuthorities.map(({ validFor, certChain }) =>
      item('certificate-authority', fingerprintOf(certChain), validFor),
    ),
    ...material.tlogs.map(({ baseURL, validFor }) => item('log', baseURL, validFor)),
    ...material.ctlogs.map(({ logID, validFor }) =>
      item('ct-log', logID.toString('hex').slice(0, 16), validFor),
    ),
    ...material.timestampAuthorities.map(({ validFor, certChain }) =>
      item('timestamp-authority', fingerprintOf(certChain), validFor),
    ),
  ]
}

/** The serial number of the certificate that everything else hangs on: what an operator compares. */
function fingerprintOf(chain: readonly { serialNumber: Buffer }[]): string {
  return `serial ${chain.at(-1)?.serialNumber.toString('hex') ?? 'none'}`
}

export function keyInventoryOf(reference: string, set: KeySet): readonly HeldItem[] {
  if (set.kind === 'missing') return []
  return set.keys.map(({ key, validFrom, validUntil, isRetiring }) => ({
    what: 'key' as const,
    name: `${reference} ${key.id}`,
    from: validFrom,
    until: validUntil,
    isRetiring,
  }))
}
