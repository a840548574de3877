import { hash } from 'node:crypto'
import type { TrustMaterial } from '@sigstore/verify'
import { claimOf } from './claim.ts'
import { EvidenceError, mostTelling, toEvidenceError, toFailure } from './evidence-error.ts'
import type { Evidence } from './evidence.ts'
import { identityOf } from './fulcio.ts'
import { assertSigstores, parseCertificates, type Presented } from './leaf.ts'
import { CHAIN_SEARCH_US, pkiSignatory } from './pki.ts'
import { isWitness, prove, unite, type Claimant, type Proof, type TimedEvidence } from './proof.ts'
import { signerOf } from './public-key.ts'
import { readEvidence } from './read-evidence.ts'
import { signatureContent, type SignatureContent } from './signature-content.ts'
import { parseTimestamp } from './timestamp.ts'
import type {
  Candidate,
  CandidateResult,
  PublicKey,
  Signer,
  SignerIdentity,
  TrustRoot,
  VerificationInput,
  Verified,
} from './types.ts'
import { unloggedSteps, type Examined } from './unlogged.ts'

/** `artifact` are the subject's own bytes: Ed25519 and RSA-PSS signatures over the subject need them. */
export type SubjectInput = VerificationInput & { readonly artifact?: Buffer }

type SignedBy<S extends Signer = Signer> = Proof & { readonly signer: S }
type KeylessSigner = Extract<Signer, { kind: 'keyless' }>

/** Steps of one verification. Yields before each how many microseconds hostile bytes can make it take, about. */
type Steps<T> = Generator<number, T, undefined>

/** The shortest nodes, which cost the most, take two bytes. */
const ASN1_BYTE_US = 0.2
/** Hash a tree path, verify one or two signatures, and the leaf's chain at that time. */
const WITNESS_US = 3000

function parseCostOf({ certificates = [], timestamps }: Evidence): number {
  return ASN1_BYTE_US * [...certificates, ...timestamps].reduce((sum, der) => sum + der.length, 0)
}

function proofCostOf({ entries, timestamps }: Evidence): number {
  return WITNESS_US * (entries.length + timestamps.length)
}

function chainCostOf({ chainPem = '' }: Evidence, roots: readonly TrustRoot[]): number {
  return roots.some(({ kind }) => kind === 'pki') ? CHAIN_SEARCH_US + ASN1_BYTE_US * chainPem.length : 0
}

/** Runs every attempt; one that succeeds is enough, and then why others failed does not matter. */
function* attemptAll<T, R>(
  options: readonly T[],
  cost: number,
  attempt: (option: T) => R | undefined,
): Steps<{ readonly found: readonly R[]; readonly error: EvidenceError | undefined }> {
  const found: R[] = []
  const errors: EvidenceError[] = []
  for (const option of options) {
    yield cost
    try {
      const result = attempt(option)
      if (result !== undefined) found.push(result)
    } catch (error) {
      errors.push(toEvidenceError(error))
    }
  }
  return { found, error: mostTelling(errors) }
}

/** Who signed, as this root reads the certificates. */
function signatoryOf(
  presented: Presented,
  evidence: Evidence,
  root: TrustRoot,
): { readonly identity: SignerIdentity; readonly claimant: Claimant } {
  const { leaf } = presented
  const isSigner = (der: Buffer): boolean => leaf.der.equals(der)
  if (root.kind === 'pki') {
    const { identity, leaf: certificate, material } = pkiSignatory(presented, evidence.chainPem, root)
    const key = { $case: 'certificate' as const, certificate }
    return { identity, claimant: { kind: 'pki', key, isSigner, root: { name: root.name, material } } }
  }
  assertSigstores(presented, evidence)
  const key = { $case: 'certificate' as const, certificate: leaf }
  return { identity: identityOf(leaf), claimant: { kind: 'keyless', key, isSigner, root } }
}

function* proveKeyless(
  evidence: Evidence,
  timed: TimedEvidence,
  input: SubjectInput,
): Steps<readonly SignedBy<KeylessSigner>[]> {
  const presented = parseCertificates(evidence.certificates ?? [])
  const signature = signatureContent(evidence.content, input.artifact, undefined)
  const attempt = (root: TrustRoot): SignedBy<KeylessSigner> => {
    const { identity, claimant } = signatoryOf(presented, evidence, root)
    return {
      signer: { kind: 'keyless', trustRoot: root.name, identity, byRetiringRoot: root.isRetiring },
      ...prove(timed, claimant, signature),
    }
  }
  const cost = proofCostOf(evidence) + chainCostOf(evidence, input.roots)
  const staying = yield* attemptAll(
    input.roots.filter(({ isRetiring }) => !isRetiring),
    cost,
    attempt,
  )
  // What a successor proves needs no predecessor, and must not look as if it did.
  const proven = new Set(staying.found.map(({ signer }) => signer.trustRoot))
  const retiring = yield* attemptAll(
    input.roots.filter(({ name, isRetiring }) => isRetiring && !proven.has(name)),
    cost,
    attempt,
  )
  const found = [...staying.found, ...retiring.found]
  if (found.length > 0) return found
  const errors = [staying.error, retiring.error].filter((error) => error !== undefined)
  throw (
    mostTelling(errors) ??
    new EvidenceError('certificate', 'signed with a certificate, and no trust root is configured')
  )
}

type Owner = { readonly key: PublicKey; readonly signature: SignatureContent }

/** A key is of no root: each may have witnessed its use, with its own logs and timestamp authorities only. */
function witnessedBy(root: TrustRoot, key: PublicKey): Claimant {
  const publicKey = (): ReturnType<TrustMaterial['publicKey']> => ({
    publicKey: key.key,
    validFor: () => true,
  })
  return {
    kind: 'key',
    key: { $case: 'public-key', hint: '' },
    isSigner: (der) => `sha256:${hash('sha256', der, 'hex')}` === key.id,
    root: { name: root.name, material: { ...root.material, publicKey } },
  }
}

/** The hint in a bundle is the signer's word, so it selects nothing: every configured key is tried. */
function* proveKeys(
  evidence: Evidence,
  timed: TimedEvidence,
  input: SubjectInput,
): Steps<readonly SignedBy[]> {
  // Before the costlier witnesses: with many keys all but one end here.
  const { found: owners, error } = yield* attemptAll(input.keys, 0, (key): Owner | undefined => {
    const signature = signatureContent(evidence.content, input.artifact, key.scheme)
    if (!signature.verifySignature(key.key)) return undefined
    // Has just been verified, and the library need not do so again.
    return { key, signature: { ...signature, verifySignature: (other) => other === key.key } }
  })
  const witnesses = input.roots.filter((root) => isWitness(root, timed))
  const errors = error === undefined ? [] : [error]
  const signed: SignedBy[] = []
  for (const { key, signature } of owners) {
    const attempt = (root: TrustRoot): Proof => prove(timed, witnessedBy(root, key), signature)
    const { found: proofs, error: why } = yield* attemptAll(witnesses, proofCostOf(evidence), attempt)
    if (proofs.length === 0 && why !== undefined) errors.push(why)
    else signed.push({ signer: signerOf(key), ...unite(proofs) })
  }
  if (signed.length > 0) return signed
  const count = input.keys.length
  throw (
    mostTelling(errors) ??
    new EvidenceError('key', `signed with a key, and none of the ${count} configured keys verifies it`)
  )
}

/**
 * The way of a candidate: read it, find who signed it, prove that (signature, chain, log, time), and only then believe
 * what it says about the subject. Evidence that is bad in any way ends as a failure; nothing is thrown.
 */
export function* verificationSteps(candidate: Candidate, input: SubjectInput): Steps<CandidateResult> {
  let examined: Examined | undefined
  let result: CandidateResult
  try {
    const evidence = readEvidence(candidate)
    yield parseCostOf(evidence)
    const timed = { ...evidence, timestamps: evidence.timestamps.map(parseTimestamp) }
    examined = { candidate, evidence, timed, input }
    result = { verified: yield* proofSteps(examined), failures: [] }
  } catch (error) {
    result = { verified: [], failures: [toFailure(toEvidenceError(error), candidate.source)] }
  }
  if (examined === undefined || input.logsToAsk === undefined) return result
  return { ...result, unlogged: yield* unloggedSteps(examined, result.verified) }
}

function* proofSteps({ candidate, evidence, timed, input }: Examined): Steps<readonly Verified[]> {
  const prover = evidence.certificates === undefined ? proveKeys : proveKeyless
  const signed = yield* prover(evidence, timed, input)
  const claim = claimOf(evidence.content, input.subject, input.artifact)
  return signed.map((proof) => ({ source: candidate.source, claim, ...proof }))
}

/** Verifies one candidate in one go. Pure: the same arguments give the same result at any time. */
export function verifyCandidate(candidate: Candidate, input: SubjectInput): CandidateResult {
  const steps = verificationSteps(candidate, input)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
