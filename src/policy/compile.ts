import { posix } from 'node:path'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey } from '../verify/types.ts'
import type { AuthorityDocument, PolicyDocument } from './document.ts'
import { compileGlob, type Glob } from './glob.ts'
import { parseKmsReference } from './kms-reference.ts'
import { exactMatcher, patternMatcher, type IdentityField } from './matcher.ts'
import type { Finding, Path } from './problem.ts'
import { stricterStance } from './stance.ts'
import type { Authority, IdentityMatcher, Mode, Policy, Stance, StringMatcher } from './types.ts'
import { policyVersion } from './version.ts'

/** What a document is compiled against. */
export type CompileContext = {
  /** The policy's own file, relative to the policies directory, with forward slashes. */
  readonly file: string
  readonly origin: string
  readonly defaultMode: Mode
  readonly defaultStance: Stance
  readonly stanceLimit: Stance | undefined
  readonly trustRoots: ReadonlySet<string>
  /** Names of the key sets that the configuration has. */
  readonly keySets: ReadonlySet<string>
  /** Text of the PEM files below the policies directory, by path relative to it. */
  readonly keyFiles: ReadonlyMap<string, string>
}

export type CompiledPolicy = { readonly policy: Policy; readonly globs: readonly Glob[] }

type KeylessDocument = NonNullable<AuthorityDocument['keyless']>
type KeyDocument = NonNullable<AuthorityDocument['key']>
type IdentityDocument = KeylessDocument['identities'][number]

/** Collects what is wrong, so that every mistake of a document is told at once. */
type Report = (path: Path, message: string) => undefined

/** Turns a well-formed document into a policy, or tells everything that keeps it from meaning something. */
export function compilePolicy(
  document: PolicyDocument,
  context: CompileContext,
): { readonly compiled: CompiledPolicy | undefined; readonly findings: readonly Finding[] } {
  const findings: Finding[] = []
  const report: Report = (path, message) => void findings.push({ path, message })
  const { metadata, spec } = document
  const globs = spec.images.flatMap(({ glob }, index) => {
    const result = compileGlob(glob)
    return result.ok ? [result.glob] : (report(['spec', 'images', index, 'glob'], result.message) ?? [])
  })
  reportRepeated(spec.authorities, ['spec', 'authorities'], report)
  const authorities = spec.authorities.flatMap(
    (authority, index) => compileAuthority(authority, ['spec', 'authorities', index], context, report) ?? [],
  )
  if (findings.length > 0) return { compiled: undefined, findings }
  const policy: Policy = {
    name: metadata.name,
    version: policyVersion(authorities),
    mode: spec.mode ?? context.defaultMode,
    stance: stricterStance(spec.stance ?? context.defaultStance, context.stanceLimit),
    runbook: spec.runbook,
    matches: (repositoryName) => globs.some((glob) => glob.matches(repositoryName)),
    authorities,
    origin: context.origin,
  }
  return { compiled: { policy, globs }, findings }
}

function compileAuthority(
  document: AuthorityDocument,
  path: Path,
  context: CompileContext,
  report: Report,
): Authority | undefined {
  const attestations = document.attestations ?? []
  reportRepeated(attestations, [...path, 'attestations'], report)
  const signer =
    document.keyless === undefined
      ? compileKey(document.key, [...path, 'key'], context, report)
      : compileKeyless(document.keyless, [...path, 'keyless'], context, report)
  if (signer === undefined) return undefined
  return { name: document.name, signer, attestations, unavailable: unavailableUntilBound(signer) }
}

/** What nobody has looked up yet is not known to be wrong. */
function unavailableUntilBound(signer: Authority['signer']): Authority['unavailable'] {
  if (signer.kind !== 'key' || signer.keyReference === undefined) return undefined
  return { dependency: 'trust', message: `the key ${signer.keyReference} has not been looked up` }
}

function compileKeyless(
  document: KeylessDocument,
  path: Path,
  context: CompileContext,
  report: Report,
): Authority['signer'] | undefined {
  reportTrustRoot(document.trustRoot, [...path, 'trustRoot'], context, report)
  const identities = document.identities.flatMap(
    (identity, index) => compileIdentity(identity, [...path, 'identities', index], report) ?? [],
  )
  return { kind: 'keyless', trustRoot: document.trustRoot, identities }
}

function compileIdentity(
  document: IdentityDocument,
  path: Path,
  report: Report,
): IdentityMatcher | undefined {
  const issuer = compileMatcher('issuer', document.issuer, document.issuerPattern)
  const subject = compileMatcher('subject', document.subject, document.subjectPattern)
  if ('message' in issuer) report([...path, issuer.key], issuer.message)
  if ('message' in subject) report([...path, subject.key], subject.message)
  if ('message' in issuer || 'message' in subject) return undefined
  return { issuer: issuer.matcher, subject: subject.matcher }
}

function compileMatcher(
  field: IdentityField,
  exact: string | undefined,
  pattern: string | undefined,
): { readonly matcher: StringMatcher } | { readonly key: string; readonly message: string } {
  if (exact !== undefined) {
    const result = exactMatcher(field, exact)
    return result.ok ? { matcher: result.matcher } : { key: field, message: result.message }
  }
  // The schema lets exactly one of the two through; the empty pattern would match the empty string only.
  const result = patternMatcher(field, pattern ?? '')
  return result.ok ? { matcher: result.matcher } : { key: `${field}Pattern`, message: result.message }
}

function compileKey(
  document: KeyDocument | undefined,
  path: Path,
  context: CompileContext,
  report: Report,
): Authority['signer'] | undefined {
  if (document === undefined) return report(path, 'found nothing, expected a key')
  const trustRoot = document.trustRoot ?? 'public-good'
  if (document.transparencyLog === 'required' || document.trustRoot !== undefined) {
    reportTrustRoot(trustRoot, [...path, 'trustRoot'], context, report)
  }
  const { transparencyLog, kms, keySet } = document
  const log = { transparencyLog, trustRoot }
  if (kms !== undefined) {
    const parsed = parseKmsReference(kms)
    if (!parsed.ok) return report([...path, 'kms'], parsed.message)
    return { kind: 'key', keys: [], keyReference: parsed.reference.text, ...log }
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
  const pem = document.data ?? readKeyFile(document.file ?? '', context)
  if (pem === undefined) {
    const known = [...context.keyFiles.keys()].slice(0, 5).join(', ')
    const hint = known === '' ? 'there are no .pem or .pub files' : `there are ${known}`
    return report([...path, 'file'], `found no such file below the policies directory; ${hint}`)
  }
  const { hashAlgorithm, padding } = document
  const key = readPublicKey(pem, { hashAlgorithm, padding })
  if ('problem' in key) return report([...path, document.data === undefined ? 'file' : 'data'], key.problem)
  return [{ key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }]
}

/** Only files that the loader was given: a policy cannot reach out of its directory. */
function readKeyFile(file: string, context: CompileContext): string | undefined {
  return context.keyFiles.get(posix.join(posix.dirname(context.file), file))
}

function reportTrustRoot(name: string, path: Path, context: CompileContext, report: Report): void {
  if (context.trustRoots.has(name)) return
  const known = [...context.trustRoots].join(', ')
  report(path, `found ${JSON.stringify(name)}, expected a trust root of the configuration: ${known}`)
}

function reportKeySet(name: string, path: Path, context: CompileContext, report: Report): void {
  if (context.keySets.has(name)) return
  const known = context.keySets.size === 0 ? 'there is none' : [...context.keySets].join(', ')
  const message = `found ${JSON.stringify(name)}, expected a key set of the configuration (trust.roots, kind keys): ${known}`
  report(path, message)
}

function reportRepeated(items: readonly { readonly name: string }[], path: Path, report: Report): void {
  const seen = new Set<string>()
  for (const [index, { name }] of items.entries()) {
    if (seen.has(name))
      report([...path, index, 'name'], `found ${JSON.stringify(name)} twice, expected unique names`)
    seen.add(name)
  }
}
