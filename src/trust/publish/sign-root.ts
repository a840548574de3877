import { hash } from 'node:crypto'
import { dirname, join } from 'node:path'
import type { Metadata, Root } from '@tufjs/models'
import { readIfThere, readNamed, writeWhole, type Disk } from './disk.ts'
import { PublishError } from './error.ts'
import { shortId } from './key.ts'
import { rootPath } from './layout.ts'
import { addSignature, encode, readRoot, signedBytes } from './metadata.ts'
import { keysOf, thresholdOf } from './root.ts'
import type { RoleSigner } from './signer.ts'
import { checkKeys } from './verify-repository.ts'

/** How far one root's keys have signed. */
export type SignatureCount = {
  /** The version whose keys and threshold count here. */
  readonly by: number
  readonly threshold: number
  /** IDs of the keys with a valid signature, and of those without. */
  readonly signed: readonly string[]
  readonly missing: readonly string[]
}

/** A root on its way, with the one before it unless it is the first. */
export type StagedRoot = {
  readonly path: string
  readonly root: Metadata<Root>
  readonly previous: Metadata<Root> | undefined
}

/** The hash of what is signed: what the people at a ceremony read to each other. */
export function fingerprint({ root }: StagedRoot): string {
  return `sha256:${hash('sha256', signedBytes(root.signed), 'hex')}`
}

/** By the keys of the root itself and, on a rotation, by those of the one before it. */
export function countSignatures({ root, previous }: StagedRoot): readonly SignatureCount[] {
  return [root, ...(previous === undefined ? [] : [previous])].map((by) => {
    const keys = keysOf(by, 'root')
    const signed = keys.filter((key) => isSigned(() => key.verifySignature(root)))
    return {
      by: by.signed.version,
      threshold: thresholdOf(by),
      signed: signed.map(({ keyID }) => keyID),
      missing: keys.filter((key) => !signed.includes(key)).map(({ keyID }) => keyID),
    }
  })
}

function isSigned(verify: () => void): boolean {
  try {
    verify()
    return true
  } catch {
    return false
  }
}

export function isComplete(staged: StagedRoot): boolean {
  return countSignatures(staged).every(({ signed, threshold }) => signed.length >= threshold)
}

/**
 * Reads a staged root and, for a later version than 1, the one before it from the file beside it. Throws PublishError
 * `usage` where either is missing.
 */
export async function readStagedRoot(path: string, disk: Disk): Promise<StagedRoot> {
  const root = readRoot(path, await readNamed(disk, path))
  checkKeys(root)
  const before = root.signed.version - 1
  if (before === 0) return { path, root, previous: undefined }
  const previousPath = join(dirname(path), rootPath(before))
  const bytes = await readIfThere(disk, previousPath)
  if (bytes === undefined) {
    throw new PublishError(
      'usage',
      `${previousPath} is missing: the keys of version ${before} must sign version ${before + 1}, too; put it there`,
    )
  }
  return { path, root, previous: readRoot(previousPath, bytes) }
}

/**
 * Adds the signature of one root key. Throws PublishError `key` where neither root lists the key, `conflict` where it has
 * signed already: it counts once.
 */
export async function addRootSignature(staged: StagedRoot, signer: RoleSigner): Promise<void> {
  const counts = countSignatures(staged)
  const id = signer.key.keyID
  if (!counts.some(({ signed, missing }) => signed.includes(id) || missing.includes(id))) {
    const listed = [...new Set(counts.flatMap(({ signed, missing }) => [...signed, ...missing]))]
    throw new PublishError(
      'key',
      `key ${shortId(id)} is no root key; ${listed.map(shortId).join(', ')} may sign`,
    )
  }
  if (counts.some(({ signed }) => signed.includes(id))) {
    throw new PublishError('conflict', `key ${shortId(id)} has signed already; a key counts once`)
  }
  await addSignature(staged.root, signer)
}

/** Adds the valid signatures that a copy of the same root has; returns how many were new. */
export function mergeSignatures(staged: StagedRoot, copy: { name: string; bytes: Buffer }): number {
  const other = readRoot(copy.name, copy.bytes)
  if (!signedBytes(other.signed).equals(signedBytes(staged.root.signed))) {
    throw new PublishError(
      'conflict',
      `${copy.name} is not the root that is staged; sign a copy of ${staged.path}`,
    )
  }
  const known = new Set(countSignatures(staged).flatMap(({ signed }) => signed))
  const ids = countSignatures({ ...staged, root: other }).flatMap(({ signed }) => signed)
  const added = [...new Set(ids)].filter((id) => !known.has(id))
  for (const id of added) {
    const signature = other.signatures[id]
    if (signature !== undefined) staged.root.signatures[id] = signature
  }
  return added.length
}

/** Writes the staged root back, whole or not at all. */
export async function writeStagedRoot({ path, root }: StagedRoot, disk: Disk): Promise<void> {
  await writeWhole(disk, path, encode(root), dirname(path))
}
