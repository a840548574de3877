import type { Epoch } from './epoch.ts'
import {
  discoverNow,
  gatherEvidence,
  NO_EVIDENCE,
  type Evidence,
  type EvidenceDeps,
  type EvidenceSubject,
} from './evidence.ts'
import type { Guess } from './head-start.ts'
import { imageOf, isSatisfied } from './judgement.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { decide } from './policy/decide.ts'
import { asksForEvidence } from './policy/revocation.ts'
import type { ImageFacts, Judgement, Reason } from './policy/types.ts'
import type { MissingCause } from './policy/verdict.ts'
import type { Progress } from './progress.ts'
import { NOTHING_SIGNED, signingFacts, type SigningFacts } from './signing.ts'
import { timedNow } from './timings.ts'

/** A manifest whose own evidence is asked for. */
export type Alone = EvidenceSubject & { readonly epoch: Epoch; readonly progress: Progress }

export type Finding = {
  readonly judgement: Judgement
  readonly signing: SigningFacts
  /** False where some of its evidence could not be had. */
  readonly isWhole: boolean
}

type AloneDeps = Omit<EvidenceDeps, 'trust'>

/** Steps 5 to 7 for a manifest by itself. `missing`: what could not be known of the indexes that name it. */
export async function judgeAlone(
  { epoch, progress, ...subject }: Alone,
  missing: readonly MissingCause[],
  deps: AloneDeps,
): Promise<Finding> {
  const image = imageOf(subject.repository, subject.manifest)
  const name = repositoryName(image)
  const judgementOf = (evidence: Evidence) =>
    timedNow('decide', { ...deps, timings: subject.timings }, () =>
      decideIn(
        epoch,
        image,
        { ...evidence, missing: [...missing, ...evidence.missing] },
        { now: deps.now() },
      ),
    )
  // Where nothing asks, nothing that could be found would change anything.
  if (!isEvidenceAsked(epoch, name))
    return { judgement: judgementOf(NO_EVIDENCE), signing: NOTHING_SIGNED, isWhole: true }
  const asked = {
    image,
    policies: epoch.matching(name),
    revocations: epoch.revoking(name),
    isEnough: (evidence: Evidence) => isSatisfied(judgementOf(evidence)),
  }
  const runner = followed(deps.runner, progress)
  const evidence = await gatherEvidence(subject, asked, { ...deps, runner, progress, trust: epoch.trust })
  const isWhole = evidence.missing.length === 0
  return { judgement: judgementOf(evidence), signing: signingFacts(evidence.verified), isWhole }
}

/** Step 7. `reasons`: what the manifest itself is guilty of. */
export function decideIn(
  epoch: Epoch,
  image: ImageFacts,
  evidence: Evidence,
  { now, reasons = [] }: { readonly now: Date; readonly reasons?: readonly Reason[] },
): Judgement {
  const name = repositoryName(image)
  const [policies, revocations] = [epoch.matching(name), epoch.revoking(name)]
  const { unmatched } = epoch.policies
  return decide({ policies, revocations, unmatched, image, now, ...evidence, manifestReasons: reasons })
}

type Asked = {
  readonly epoch: Epoch
  readonly repository: Repository
  readonly digest: Digest
  readonly progress: Progress
}

/** That the evidence of a digest will be needed, by all that can be known before its manifest is there. */
export function guessOf({ epoch, repository, digest, progress }: Asked, deps: AloneDeps): Guess {
  const runner = followed(deps.runner, progress)
  return {
    registry: repository.registry,
    isLikely: () =>
      isEvidenceAsked(epoch, repositoryName(repository)) &&
      deps.state.getEvidence(repository, digest) === undefined,
    discover: (signal) => discoverNow(repository, digest, { ...deps, runner }, signal),
  }
}

function isEvidenceAsked(epoch: Epoch, name: string): boolean {
  return epoch.matching(name).some(({ mode }) => mode !== 'off') || epoch.revoking(name).some(asksForEvidence)
}

/** Tells of all work whose length depends on what was pushed. */
function followed(runner: AloneDeps['runner'], progress: Progress): AloneDeps['runner'] {
  return {
    ...runner,
    verify: (...input) => progress.verifying(() => runner.verify(...input)),
    readReferrers: (...input) => progress.verifying(() => runner.readReferrers(...input)),
  }
}
