import { DEPENDENCY_OF } from '../../cause.ts'
import type { Discovery } from '../../discover/types.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Repository } from '../../oci/reference.ts'
import { bindPolicies } from '../../policy/bind.ts'
import { decide } from '../../policy/decide.ts'
import type { IndexedPolicySet } from '../../policy/policy-index.ts'
import type { Authority, Verdict } from '../../policy/types.ts'
import type { MissingCause } from '../../policy/verdict.ts'
import type { TrustSnapshot } from '../../trust/snapshot.ts'
import type { PublicKey } from '../../verify/types.ts'
import type { VerificationRunner } from '../../work/runner.ts'
import { WorkError } from '../../work/work-error.ts'

export type BundleSubject = {
  readonly repository: Repository
  readonly digest: Digest
  /** The manifest itself. */
  readonly bytes: Buffer
}

export type JudgeBundleDeps = {
  readonly root: IndexedPolicySet
  readonly runner: Pick<VerificationRunner, 'verify'>
  readonly trust: () => TrustSnapshot
  readonly now: () => Date
}

/** What the root policy says of a bundle, by this evidence and the trust of now. */
export async function judgeBundle(
  { repository, digest, bytes }: BundleSubject,
  { candidates, rejected, failures: notHad }: Discovery,
  { root, runner, trust, now }: JudgeBundleDeps,
  signal: AbortSignal,
): Promise<Verdict> {
  const snapshot = trust()
  const { policies } = bindPolicies(root, snapshot)
  const authorities = policies.flatMap((policy) => policy.authorities)
  const missing: MissingCause[] = notHad.map(({ because, message }) => ({
    dependency: DEPENDENCY_OF[because],
    message,
  }))
  const input = {
    subject: digest,
    artifact: bytes,
    roots: [...snapshot.roots.values()].flat(),
    keys: keysOf(authorities),
  }
  const found = await runner.verify(candidates, input, signal).catch((error: unknown) => {
    if (!(error instanceof WorkError)) throw error
    return { verified: [], failures: [], unfinished: [error] }
  })
  missing.push(...found.unfinished.map(({ message }) => ({ dependency: 'verifier' as const, message })))
  const { results } = decide({
    policies,
    revocations: [],
    unmatched: 'enforce',
    image: { ...repository, digest },
    now: now(),
    verified: found.verified,
    failures: [...found.failures, ...rejected],
    missing,
    manifestReasons: [],
  })
  const [result] = results
  if (result === undefined) throw new TypeError('the root policy judges every bundle')
  return result.verdict
}

function keysOf(authorities: readonly Authority[]): readonly PublicKey[] {
  return authorities.flatMap(({ signer }) => (signer.kind === 'key' ? signer.keys.map(({ key }) => key) : []))
}
