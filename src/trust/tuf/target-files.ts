import { getHashes, hash } from 'node:crypto'
import type { Metadata, TargetFile, Targets } from '@tufjs/models'
import { TrustError } from '../trust-error.ts'
import { TARGET_BYTES_MAX, TARGETS_MAX } from './limits.ts'
import { isPlainPath, targetFiles } from './names.ts'
import type { ReadVerified } from './read-verified.ts'
import { findTarget } from './target-lookup.ts'

export type VerifiedTarget = {
  readonly path: string
  /** What its signers say of it beside length and hashes (TUF specification, section 4.5). */
  readonly custom: unknown
  readonly files: readonly string[]
  readonly bytes: Buffer
}

/** A hash that alone is enough to tell bytes apart. */
const STRONG_HASHES = ['sha256', 'sha384', 'sha512']
const HEX = /^[0-9a-f]+$/

/** Each target that a client could come to, read and verified. Rejects with TrustError. */
export async function* readTargets(
  roles: ReadonlyMap<string, Metadata<Targets>>,
  options: { readonly read: ReadVerified; readonly isConsistent: boolean },
): AsyncGenerator<VerifiedTarget> {
  const paths = new Set([...roles.values()].flatMap(({ signed }) => Object.keys(signed.targets)))
  if (paths.size > TARGETS_MAX) throw new TrustError('refused', `targets: more than ${TARGETS_MAX}`)
  for (const path of paths) {
    const target = findTarget(path, roles)
    if (target !== undefined) yield await readTarget(target, options)
  }
}

async function readTarget(
  target: TargetFile,
  { read, isConsistent }: { readonly read: ReadVerified; readonly isConsistent: boolean },
): Promise<VerifiedTarget> {
  const { path, length } = target
  assertReadable(target)
  const files = targetFiles(path, Object.values(target.hashes), isConsistent)
  const { bytes } = await read({ files, bytesMax: length, verify: (content) => assertIs(content, target) })
  return { path, custom: target.custom, files, bytes }
}

function assertReadable({ path, length, hashes }: TargetFile): void {
  if (!isPlainPath(path)) throw new TrustError('refused', `target ${path}: not a plain path`)
  if (length > TARGET_BYTES_MAX) {
    throw new TrustError('refused', `target ${path}: more than ${TARGET_BYTES_MAX} bytes`)
  }
  const algorithms = Object.keys(hashes)
  const isStrong = algorithms.some((algorithm) => STRONG_HASHES.includes(algorithm))
  // Without a hash, anything of the right length would do.
  if (!isStrong) throw new TrustError('refused', `target ${path}: no SHA-2 hash`)
  const known = getHashes()
  const unknown = algorithms.find((algorithm) => !known.includes(algorithm))
  if (unknown !== undefined) throw new TrustError('refused', `target ${path}: unknown hash ${unknown}`)
  if (!Object.values(hashes).every((hex) => HEX.test(hex))) {
    throw new TrustError('refused', `target ${path}: a hash that is no hash`)
  }
}

function assertIs(bytes: Buffer, { length, hashes }: TargetFile): void {
  if (bytes.length !== length) throw new Error(`has ${bytes.length} bytes, expected ${length}`)
  for (const [algorithm, expected] of Object.entries(hashes)) {
    const actual = hash(algorithm, bytes, 'hex')
    if (actual !== expected) throw new Error(`its ${algorithm} is ${actual}, expected ${expected}`)
  }
}
