import { hash } from 'node:crypto'
import { claimOf } from './claim.ts'
import type { Evidence } from './evidence.ts'
import { identityOf } from './fulcio.ts'
import { leafOf } from './leaf.ts'
import { certificateQuery, keyQuery } from './log-query.ts'
import { assertProvableWithEntry, knowsAnEntry, type TimedEvidence } from './proof.ts'
import { isSignedBy } from './public-key.ts'
import { signatureContent } from './signature-content.ts'
import type { Candidate, TrustRoot, Unlogged, VerificationInput, Verified } from './types.ts'

/** A candidate that was read, and what it was held against. */
export type Examined = {
  readonly candidate: Candidate
  readonly evidence: Evidence
  readonly timed: TimedEvidence
  readonly input: VerificationInput & { readonly artifact?: Buffer }
}

/** Parse the chain once more, verify it at one time, and the signature. */
const ROOT_US = 3000

/** Names a candidate: several signatures can share a manifest and a blob, and then differ in their annotations. */
export function candidateKey(candidate: Candidate): string {
  const { form, source } = candidate
  const annotations = form === 'bundle' ? [] : byName(candidate.annotations)
  return hash('sha256', JSON.stringify([form, source.manifest, source.blob, annotations]), 'hex')
}

function byName(annotations: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return Object.entries(annotations).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** Roots whose log may be asked, and of whose log no entry is here: one that is here and bad stays bad. */
function rootsToAsk({ input, timed }: Examined): readonly TrustRoot[] {
  const asked = new Set(input.logsToAsk)
  const known = new Set(input.roots.filter((root) => knowsAnEntry(root, timed)).map(({ name }) => name))
  return input.roots.filter(({ name }) => asked.has(name) && !known.has(name))
}

/**
 * What the candidate would prove with an entry in a log that can be asked. Signer, signature and subject are verified
 * first, so that nobody can have a log asked about what he made up. Yields costs like verification; nothing is thrown.
 */
export function* unloggedSteps(
  examined: Examined,
  verified: readonly Verified[],
): Generator<number, readonly Unlogged[], undefined> {
  const roots = rootsToAsk(examined)
  if (roots.length === 0) return []
  if (examined.evidence.certificates === undefined) return byKey(examined, roots, verified)
  const found = new Map<string, Unlogged>()
  for (const root of roots) {
    if (found.has(root.name)) continue
    yield ROOT_US
    const unlogged = byCertificate(examined, root)
    if (unlogged !== undefined) found.set(root.name, unlogged)
  }
  return [...found.values()]
}

/** A key needs no log entry to verify a signature, so all is known but that. */
function byKey(
  { candidate, evidence, input }: Examined,
  roots: readonly TrustRoot[],
  verified: readonly Verified[],
): readonly Unlogged[] {
  const names = [...new Set(roots.map(({ name }) => name))]
  return verified.flatMap(({ signer, claim }) => {
    const key = input.keys.find((one) => isSignedBy(signer, one))
    if (key === undefined) return []
    const query = keyQuery(evidence.content, key)
    const subject = { candidate: candidateKey(candidate), source: candidate.source }
    return names.map((trustRoot) => ({ ...subject, trustRoot, signer, claim, query }))
  })
}

function byCertificate(
  { candidate, evidence, timed, input }: Examined,
  root: TrustRoot,
): Unlogged | undefined {
  try {
    const leaf = leafOf(evidence)
    const identity = identityOf(leaf)
    const signature = signatureContent(evidence.content, input.artifact, undefined)
    const key = { $case: 'certificate' as const, certificate: leaf }
    const isSigner = (der: Buffer) => leaf.der.equals(der)
    assertProvableWithEntry(timed, { kind: 'keyless', key, isSigner, root }, signature, leaf.notBefore)
    const { name: trustRoot, isRetiring: byRetiringRoot } = root
    return {
      candidate: candidateKey(candidate),
      source: candidate.source,
      trustRoot,
      signer: { kind: 'keyless', trustRoot, identity, byRetiringRoot },
      claim: claimOf(evidence.content, input.subject, input.artifact),
      query: certificateQuery(evidence.content, leaf.der, leaf.keyObject),
    }
  } catch {
    // Whatever is amiss, verification itself has said it.
    return undefined
  }
}
