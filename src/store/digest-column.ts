import { digestParts, type Digest } from '../oci/digest.ts'

/** A digest as a column of bytes: half the size of its text, and the algorithm follows from their number. */
export function digestBytes(digest: Digest): Buffer {
  return Buffer.from(digestParts(digest).hex, 'hex')
}
