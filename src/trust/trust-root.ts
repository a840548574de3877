import { readTrustRoot } from '../verify/trust-root.ts'
import type { TrustRoot } from '../verify/types.ts'
import { TrustError } from './trust-error.ts'

/**
 * Reads a `trusted_root.json` (sigstore protobuf-specs, v0.1 and v0.2). Throws TrustError `trust-root`; the message
 * names the root and every field that is missing or malformed.
 */
export function parseTrustRoot(name: string, json: string): TrustRoot {
  const root = readTrustRoot(name, json)
  if ('problem' in root) throw new TrustError('trust-root', `trust root ${name}: ${root.problem}`)
  return root
}
