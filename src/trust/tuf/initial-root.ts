import { hash } from 'node:crypto'
import type { Metadata, Root } from '@tufjs/models'
import { TrustError } from '../trust-error.ts'
import { ROOT_BYTES_MAX } from './limits.ts'
import { textOf } from './message.ts'
import { parseRoot } from './metadata.ts'

/** The root that everything else of a repository is verified from. */
export type InitialRoot = {
  readonly bytes: Buffer
  readonly version: number
  readonly metadata: Metadata<Root>
}

/**
 * Reads the `root.json` that configuration trusts. It must be a root that its own keys signed, and, where a digest
 * (`sha256:…`) is configured, have that digest. It may be expired: the way to the newest one starts from it.
 * Throws TrustError `trust-root`.
 */
export function readInitialRoot(name: string, bytes: Buffer, digest?: string): InitialRoot {
  const refuse = (why: string, cause?: unknown): TrustError =>
    new TrustError('trust-root', `initial root of ${name}: ${why}`, cause)
  if (bytes.length > ROOT_BYTES_MAX) throw refuse(`more than ${ROOT_BYTES_MAX} bytes`)
  const actual = `sha256:${hash('sha256', bytes, 'hex')}`
  if (digest !== undefined && actual !== digest) throw refuse(`its digest is ${actual}, expected ${digest}`)
  try {
    const metadata = parseRoot(bytes)
    metadata.verifyDelegate('root', metadata)
    return { bytes, version: metadata.signed.version, metadata }
  } catch (error) {
    throw refuse(`not the root.json of a TUF repository: ${textOf(error)}`, error)
  }
}
