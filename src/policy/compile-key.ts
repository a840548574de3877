import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey } from '../verify/types.ts'
import { keyFileText, reportTrustRoot, type CompileContext } from './compile-context.ts'
import { asksTrustRoot, type KeyDocument } from './key-document.ts'
import { parseKmsReference } from './kms-reference.ts'
import type { Path, Report } from './problem.ts'
import type { Authority, SigningWindow } from './types.ts'

/** `isTimed`: what it signs is asked for its age. Undefined where something is wrong, which is reported. */
export function compileKey(
  document: KeyDocument,
  isTimed: boolean,
  { path, context, report }: { path: Path; context: CompileContext; report: Report },
): Authority['signer'] | undefined {
  const { transparencyLog, kms, keySet, trustRoot = 'public-good' } = document
  // The keys of a set may all be without a window, and then no root is asked for a time.
  if (document.trustRoot !== undefined || isTimed || asksTrustRoot({ ...document, keySet: undefined })) {
    reportTrustRoot(trustRoot, [...path, 'trustRoot'], context, report)
  }
  const log = { transparencyLog, trustRoot }
  if (kms !== undefined) {
    const parsed = parseKmsReference(kms)
    if (!parsed.ok) return report([...path, 'kms'], parsed.message)
    return { kind: 'key', keys: [], keyReference: parsed.reference.text, during: windowOf(document), ...log }
  }
  if (keySet !== undefined) {
    reportKeySet(keySet, [...path, 'keySet'], context, report)
    return { kind: 'key', keys: [], keyReference: `keys:${keySet}`, ...log }
  }
  const keys = compilePem(document, path, context, report)
  return keys === undefined ? undefined : { kind: 'key', keys, keyReference: undefined, ...log }
}

function compilePem(
  document: KeyDocument,
  path: Path,
  context: CompileContext,
  report: Report,
): readonly HeldKey[] | undefined {
  const { data, file = '', hashAlgorithm, padding } = document
  const pem = data ?? keyFileText(file, [...path, 'file'], context, report)
  if (pem === undefined) return undefined
  const key = readPublicKey(pem, { hashAlgorithm, padding })
  if ('problem' in key) return report([...path, data === undefined ? 'file' : 'data'], key.problem)
  const during = windowOf(document)
  const [validFrom, validUntil] = [during?.from, during?.until]
  // In a window nothing counts by the clock of this machine, so the same evidence comes to the same verdict at any time.
  return [{ key, validFrom, validUntil, isCurrent: during === undefined, isRetiring: false }]
}

function windowOf({ validFrom, validUntil }: KeyDocument): SigningWindow | undefined {
  if (validFrom === undefined && validUntil === undefined) return undefined
  const [from, until] = [validFrom, validUntil].map((text) => (text === undefined ? text : new Date(text)))
  return { from, until }
}

function reportKeySet(name: string, path: Path, { keySets }: CompileContext, report: Report): void {
  if (keySets.has(name)) return
  const known = keySets.size === 0 ? 'there is none' : [...keySets].join(', ')
  const message = `found ${JSON.stringify(name)}, expected a key set of the configuration (trust.roots, kind keys): ${known}`
  report(path, message)
}
