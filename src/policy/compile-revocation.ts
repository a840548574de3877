import { hash } from 'node:crypto'
import { posix } from 'node:path'
import { keyName, readPublicKey } from '../verify/public-key.ts'
import type { PublicKey } from '../verify/types.ts'
import { compileGlobs, compileModes } from './document-parts.ts'
import type { Glob } from './glob.ts'
import { compileIdentity, identityCanonical } from './identity.ts'
import { compileText, matcherText } from './matcher.ts'
import type { Finding, Path, Report } from './problem.ts'
import type { DenialDocument, RevocationDocument } from './revocation-document.ts'
import { strictestOf } from './ring.ts'
import type { Denial, Revocation, SigningWindow } from './types.ts'
import { modesCanonical } from './version.ts'

/** What a document is compiled against. */
export type RevocationContext = {
  /** The revocation's own file, relative to the policies directory, with forward slashes. */
  readonly file: string
  readonly origin: string
  readonly trustRoots: ReadonlySet<string>
  /** Text of the PEM files below the policies directory, by path relative to it. */
  readonly keyFiles: ReadonlyMap<string, string>
  /** Names of the rings of the configuration. */
  readonly rings: ReadonlySet<string>
}

export type CompiledRevocation = { readonly revocation: Revocation; readonly globs: readonly Glob[] }

const DEFAULT_TRUST_ROOT = 'public-good'
const EVERY_IMAGE = [{ glob: '**' }]

/** Turns a well-formed document into a revocation, or tells everything that keeps it from meaning something. */
export function compileRevocation(
  { metadata, spec }: RevocationDocument,
  context: RevocationContext,
): { readonly compiled: CompiledRevocation | undefined; readonly findings: readonly Finding[] } {
  const findings: Finding[] = []
  const report: Report = (path, message) => void findings.push({ path, message })
  const globs = compileGlobs(spec.images ?? EVERY_IMAGE, ['spec', 'images'], report)
  const modes = compileModes(spec.mode, spec.rings, context.rings, (ring, message) =>
    report(['spec', 'rings', ring], message),
  )
  const denials = spec.deny.flatMap(
    (denial, index) => compileDenial(denial, ['spec', 'deny', index], context, report) ?? [],
  )
  if (findings.length > 0) return { compiled: undefined, findings }
  const revocation: Revocation = {
    name: metadata.name,
    version: digestOf(denials.map(denialCanonical).toSorted()),
    mode: strictestOf(modes),
    modes,
    reason: spec.reason,
    runbook: spec.runbook,
    matches: (repositoryName) => globs.some((glob) => glob.matches(repositoryName)),
    denials,
    origin: context.origin,
  }
  return { compiled: { revocation, globs }, findings }
}

/** Everything of the revocations that can change a judgement or a refusal; in the order of their names. */
export function revocationsCanonical(entries: readonly CompiledRevocation[]): string {
  return JSON.stringify(
    entries.map(({ revocation, globs }) => {
      const { name, version, modes, reason, runbook } = revocation
      const images = globs.map(({ canonical }) => canonical).toSorted()
      return [name, version, modesCanonical(modes), reason, runbook ?? null, images]
    }),
  )
}

function compileDenial(
  document: DenialDocument,
  path: Path,
  context: RevocationContext,
  report: Report,
): Denial | undefined {
  const { digest, identity, key, builder, trustRoot = DEFAULT_TRUST_ROOT } = document
  if (digest !== undefined) return { kind: 'digest', digest }
  const during = windowOf(document)
  const isTimed = during.from !== undefined || during.until !== undefined
  if (identity !== undefined || isTimed) reportTrustRoot(trustRoot, [...path, 'trustRoot'], context, report)
  if (identity !== undefined) {
    const matcher = compileIdentity(identity, [...path, 'identity'], report, 'any')
    return matcher === undefined ? undefined : { kind: 'identity', trustRoot, identity: matcher, during }
  }
  if (builder !== undefined) {
    const matcher = compileText(builder, undefined, [...path, 'builder'], report)
    return matcher === undefined ? undefined : { kind: 'builder', builder: matcher, trustRoot, during }
  }
  const denied = key === undefined ? undefined : compileKey(key, [...path, 'key'], context, report)
  return denied === undefined ? undefined : { kind: 'key', ...denied, trustRoot, during }
}

function windowOf({ signedFrom, signedUntil }: DenialDocument): SigningWindow {
  const [from, until] = [signedFrom, signedUntil].map((text) => (text === undefined ? text : new Date(text)))
  return { from, until }
}

function compileKey(
  { id, data, file }: NonNullable<DenialDocument['key']>,
  path: Path,
  { file: from, keyFiles }: RevocationContext,
  report: Report,
): { readonly id: string; readonly key: PublicKey | undefined } | undefined {
  if (id !== undefined) return { id, key: undefined }
  // Only files that the loader was given: a document cannot reach out of its directory.
  const pem = data ?? keyFiles.get(posix.join(posix.dirname(from), file ?? ''))
  if (pem === undefined) return report([...path, 'file'], 'found no such file below the policies directory')
  const key = readPublicKey(pem)
  if ('problem' in key) return report([...path, data === undefined ? 'file' : 'data'], key.problem)
  return { id: key.id, key }
}

function reportTrustRoot(name: string, path: Path, { trustRoots }: RevocationContext, report: Report): void {
  if (trustRoots.has(name)) return
  const known = [...trustRoots].join(', ')
  report(path, `found ${JSON.stringify(name)}, expected a trust root of the configuration: ${known}`)
}

/** One text for one meaning. A key by its id alone is another denial: its signatures are not looked for. */
function denialCanonical(denial: Denial): string {
  if (denial.kind === 'digest') return JSON.stringify([denial.kind, denial.digest])
  const { kind, trustRoot, during } = denial
  return JSON.stringify([kind, trustRoot, during.from ?? null, during.until ?? null, ...deniedParts(denial)])
}

function deniedParts(denial: Exclude<Denial, { kind: 'digest' }>): readonly unknown[] {
  switch (denial.kind) {
    case 'identity':
      return [identityCanonical(denial.identity)]
    case 'key':
      return [denial.id, denial.key === undefined ? null : keyName(denial.key)]
    case 'builder':
      return [denial.builder.kind, matcherText(denial.builder)]
  }
}

function digestOf(canonical: readonly string[]): string {
  return `sha256:${hash('sha256', JSON.stringify(canonical), 'hex')}`
}
