import { LRUCache } from 'lru-cache'
import { trustedBy } from '../evidence.ts'
import type { Epoch } from '../epoch.ts'
import {
  decodeFindings,
  isTrustedEnough,
  trustedText,
  type DecodedFindings,
  type ImageFindings,
} from '../findings.ts'
import { covered, isCanonical, isSatisfied, isServedSomewhere, revocationsOf } from '../judgement.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { imageName, repositoryName, type Repository } from '../oci/reference.ts'
import { decide, enforce } from '../policy/decide.ts'
import { namesDigests } from '../policy/revocation.ts'
import type { ImageFacts, Judgement } from '../policy/types.ts'
import type { StateStore } from '../store/types.ts'
import type { VerificationRunner } from '../work/runner.ts'

export type StoredJudgeDeps = {
  readonly state: Pick<StateStore, 'getEvidence' | 'parentsOfManifest'>
  readonly findings: FindingsReader
  readonly runner: Pick<VerificationRunner, 'verify'>
  /** The manifest's own bytes, where they are kept. */
  readonly readManifest: (digest: Digest) => Promise<Buffer | undefined>
  readonly now: () => Date
  /** For evidence that has to be verified again. */
  readonly workLimit: () => AbortSignal
}

/** What was found of an image, and with which trust; undefined where that is not kept, or not in this form. */
export type FindingsReader = (
  repository: Repository,
  digest: Digest,
) => { readonly trusted: string; readonly findings: DecodedFindings } | undefined

/** Both sets of policies ask for the same image one after the other. */
const READ_MAX = 16

/** Reads and decodes what is stored once for all who ask for it. */
export function createFindingsReader(state: Pick<StateStore, 'getFindings'>): FindingsReader {
  const known = new LRUCache<string, { readonly read: ReturnType<FindingsReader> }>({ max: READ_MAX })
  return (repository, digest) => {
    const key = imageName(repository, { kind: 'digest', digest })
    let entry = known.get(key)
    if (entry === undefined) {
      const stored = state.getFindings(repository, digest)
      const findings = stored === undefined ? undefined : decodeFindings(stored)
      const isRead = stored !== undefined && findings !== undefined
      entry = { read: isRead ? { trusted: stored.trusted, findings } : undefined }
      known.set(key, entry)
    }
    return entry.read
  }
}

/** Images of an index come together, and so do the rings that pull one image. */
const JUDGED_MAX = 10_000
/** An index within an index within an index: what is deeper is not what anybody builds. */
const DEPTH_MAX = 4

/**
 * Judges from what is stored alone, under any epoch: no network, and no cryptography where what was found before was
 * verified with all that the epoch trusts.
 */
export class StoredJudge {
  readonly #epoch: Epoch
  readonly #deps: StoredJudgeDeps
  readonly #judged = new LRUCache<string, { readonly judgement: Judgement | undefined }>({ max: JUDGED_MAX })

  constructor(epoch: Epoch, deps: StoredJudgeDeps) {
    this.#epoch = epoch
    this.#deps = deps
  }

  /** Undefined where what is stored does not tell. */
  async judge(repository: Repository, digest: Digest, depth = 0): Promise<Judgement | undefined> {
    const key = imageName(repository, { kind: 'digest', digest })
    const known = this.#judged.get(key)
    if (known !== undefined) return known.judgement
    const judgement = await this.#judge(repository, digest, depth)
    this.#judged.set(key, { judgement })
    return judgement
  }

  async #judge(repository: Repository, digest: Digest, depth: number): Promise<Judgement | undefined> {
    const image = await this.#factsOf(repository, digest)
    if (image === undefined) return undefined
    const findings = await this.#findingsOf(repository, digest)
    const own = findings === undefined ? undefined : this.#decide(image, findings)
    // What the manifest itself is guilty of no index mends.
    const isFinal = findings !== undefined && findings.manifestReasons.length > 0
    if (own !== undefined && (isFinal || isSatisfied(own))) return own
    const index = depth < DEPTH_MAX ? await this.#indexOf(repository, digest, depth + 1) : undefined
    if (own !== undefined) return covered(own, index !== undefined && isServed(index) ? index : undefined)
    if (index === undefined) return undefined
    // Its index vouched for it, so nothing of its own was ever looked for: it fares as the index does.
    return { results: [...revocationsOf(this.#epoch, image), ...index.results] }
  }

  /**
   * Under which revocations know it: by SHA-256, whichever digest it was pulled by. Undefined where only its bytes could tell
   * whether one of them is about it, and they are gone.
   */
  async #factsOf(repository: Repository, digest: Digest): Promise<ImageFacts | undefined> {
    if (isCanonical(digest)) return { ...repository, digest }
    const bytes = await this.#deps.readManifest(digest)
    if (bytes !== undefined) return { ...repository, digest: digestOf(bytes) }
    const isMaybeRevoked = this.#epoch.revoking(repositoryName(repository)).some(namesDigests)
    return isMaybeRevoked ? undefined : { ...repository, digest }
  }

  /** An index that names the image: one that satisfies every policy, else one that is let through, else the last that was. */
  async #indexOf(repository: Repository, digest: Digest, depth: number): Promise<Judgement | undefined> {
    let served: Judgement | undefined
    let last: Judgement | undefined
    for (const parent of this.#deps.state.parentsOfManifest(repository, digest)) {
      // oxlint-disable-next-line no-await-in-loop -- the first that covers is enough; usually there is one
      const judgement = await this.judge(repository, parent, depth)
      if (judgement !== undefined && isSatisfied(judgement)) return judgement
      if (judgement !== undefined && isServed(judgement)) served ??= judgement
      last ??= judgement
    }
    return served ?? last
  }

  #decide(image: ImageFacts, findings: ImageFindings): Judgement {
    const name = repositoryName(image)
    const [policies, revocations] = [this.#epoch.matching(name), this.#epoch.revoking(name)]
    const { unmatched } = this.#epoch.policies
    const now = this.#deps.now()
    return decide({ policies, revocations, unmatched, image, now, missing: [], ...findings })
  }

  async #findingsOf(repository: Repository, digest: Digest): Promise<ImageFindings | undefined> {
    const name = repositoryName(repository)
    const asked = { policies: this.#epoch.matching(name), revocations: this.#epoch.revoking(name) }
    const trusted = trustedBy(asked, { trust: this.#epoch.trust, lookUp: undefined })
    const stored = this.#deps.findings(repository, digest)
    if (stored?.findings.isWhole === true) {
      const { findings } = stored
      if (isTrustedEnough(stored.trusted, trustedText(trusted))) return findings
      // There was nothing at all: whoever is trusted, that is what there is to be found.
      if (findings.verified.length + findings.failures.length === 0) return findings
    }
    return await this.#verifyAgain(repository, digest, trusted)
  }

  async #verifyAgain(
    repository: Repository,
    digest: Digest,
    { roots, keys }: ReturnType<typeof trustedBy>,
  ): Promise<ImageFindings | undefined> {
    const discovery = this.#deps.state.getEvidence(repository, digest)?.discovery
    const artifact = discovery === undefined ? undefined : await this.#deps.readManifest(digest)
    if (discovery === undefined || artifact === undefined) return undefined
    const { candidates, rejected } = discovery
    const input = { subject: digest, artifact, roots, keys }
    const result = await this.#deps.runner.verify(candidates, input, this.#deps.workLimit())
    if (result.unfinished.length > 0) return undefined
    return { verified: result.verified, failures: [...result.failures, ...rejected], manifestReasons: [] }
  }
}

/** To the clients of some ring: only what is served covers what it names. */
function isServed(judgement: Judgement): boolean {
  return isServedSomewhere(judgement, (inOne) => enforce(inOne).kind === 'serve')
}
