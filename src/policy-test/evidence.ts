import { createPublicKey, hash } from 'node:crypto'
import { digestOf } from '../oci/digest.ts'
import type { Policy } from '../policy/types.ts'
import { signerOf } from '../verify/public-key.ts'
import type {
  CandidateResult,
  EvidenceFailure,
  EvidenceSource,
  HeldKey,
  PublicKey,
  Signer,
  TrustRoot,
  Verified,
} from '../verify/types.ts'
import { verifyCandidate } from '../verify/verify.ts'
import type { DeclaredSigner, TestCase, TestEvidence } from './suite.ts'

/** What the image of a case is judged by: what its test declares, and what its bundles prove. */

/** Both as hex: any log will do, as long as the trust root knows it, and a test says that it does. */
const SOME_LOG = { logId: '00', logIndex: '0', promise: true, inclusion: true }

export type EvidenceContext = {
  /** Those that bundles are verified with. */
  readonly roots: readonly TrustRoot[]
  /** Bound: their keys are what declared keys are looked up in. */
  readonly policies: readonly Policy[]
  readonly now: Date
}

export function evidenceOf(
  { evidence, invalid, digest }: Pick<TestCase, 'evidence' | 'invalid' | 'digest'>,
  context: EvidenceContext,
): Pick<CandidateResult, 'verified' | 'failures'> {
  const found = evidence.map((one) =>
    one.kind === 'bundle'
      ? verifyCandidate(
          { form: 'bundle', source: sourceOf(one.bytes), bytes: one.bytes },
          { subject: digest, roots: context.roots, keys: heldKeysOf(context.policies).map(({ key }) => key) },
        )
      : { verified: [declared(one, context)], failures: [] },
  )
  const declaredFailures = invalid.map(({ code, message }): EvidenceFailure => ({
    source: sourceOf(Buffer.from(message)),
    code,
    message,
  }))
  return {
    verified: found.flatMap(({ verified }) => verified),
    failures: [...found.flatMap(({ failures }) => failures), ...declaredFailures],
  }
}

function declared(evidence: Extract<TestEvidence, { kind: 'declared' }>, context: EvidenceContext): Verified {
  const { claim, trustRoot, logged, signedAt } = evidence
  const isKeyless = evidence.signer.kind === 'keyless'
  // A short-lived certificate always comes with a time; a key by itself tells none.
  const time = signedAt ?? (isKeyless || logged ? context.now : undefined)
  return {
    source: sourceOf(Buffer.from(JSON.stringify(evidence))),
    signer: declaredSigner(evidence.signer, trustRoot, context.policies),
    claim,
    logs: logged ? [{ ...SOME_LOG, trustRoot }] : [],
    times: time === undefined ? [] : [{ trustRoot, source: 'log', authority: SOME_LOG.logId, time }],
  }
}

function declaredSigner(signer: DeclaredSigner, trustRoot: string, policies: readonly Policy[]): Signer {
  if (signer.kind === 'keyless') {
    return { kind: 'keyless', trustRoot, identity: signer.identity, byRetiringRoot: false }
  }
  if (signer.kind === 'reference')
    return signerOf(heldFor(signer.reference, policies) ?? keyFor(signer.reference))
  // Policies say by which scheme a key signs.
  const held = heldKeysOf(policies).find(({ key }) => key.id === signer.id)
  return held === undefined ? { kind: 'key', key: signer.id } : signerOf(held.key)
}

function heldFor(reference: string, policies: readonly Policy[]): PublicKey | undefined {
  const signers = policies.flatMap(({ authorities }) => authorities.map(({ signer }) => signer))
  const [signer] = signers.filter((one) => one.kind === 'key' && one.keyReference === reference)
  return signer?.kind === 'key' ? signer.keys[0]?.key : undefined
}

function heldKeysOf(policies: readonly Policy[]): readonly HeldKey[] {
  return policies.flatMap(({ authorities }) =>
    authorities.flatMap(({ signer }) => (signer.kind === 'key' ? signer.keys : [])),
  )
}

/**
 * A key that stands for a reference which nobody looks up in a test: always the same one, and nobody's. Any 32 bytes
 * are an Ed25519 public key as far as its form goes.
 */
export function keyFor(reference: string): PublicKey {
  const x = hash('sha256', reference, 'base64url')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  const spki = key.export({ type: 'spki', format: 'der' })
  return { id: `sha256:${hash('sha256', spki, 'hex')}`, key }
}

function sourceOf(bytes: Buffer): EvidenceSource {
  const digest = digestOf(bytes)
  return { found: 'file', manifest: digest, blob: digest }
}
