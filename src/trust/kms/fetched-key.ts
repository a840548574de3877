import type { KmsReference } from '../../policy/kms-reference.ts'
import type { PublicKey } from '../../verify/types.ts'

/** What KMS answered about a reference. That there is no key is an answer too. */
export type FetchedKey =
  /** `keyId` is the ARN of the key that an alias stands for now. */
  | { readonly kind: 'key'; readonly keyId: string; readonly publicKey: PublicKey }
  /** Not found, disabled or waiting to be deleted; `message` is one line. */
  | { readonly kind: 'gone'; readonly message: string }

/**
 * Rejects with TrustError: `unavailable` where KMS could not be asked or did not answer, `refused` where it answered
 * with something else than a key that can be used. Neither says that the key had before is no longer right.
 */
export type FetchKey = (reference: KmsReference, signal: AbortSignal) => Promise<FetchedKey>
