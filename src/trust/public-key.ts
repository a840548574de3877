import { readPublicKey } from '../verify/public-key.ts'
import type { KeyScheme, PublicKey } from '../verify/types.ts'
import { TrustError } from './trust-error.ts'

/**
 * Reads a PEM public key. Without `scheme` the key type's own is used: SHA-256 for RSA (PKCS#1 v1.5) and P-256, also the
 * curve's own hash for P-384 and P-521. Throws TrustError `public-key`, whose message says what is accepted.
 */
export function parsePublicKey(pem: string, scheme?: KeyScheme): PublicKey {
  const key = readPublicKey(pem, scheme)
  if ('problem' in key) throw new TrustError('public-key', `public key: ${key.problem}`)
  return key
}
