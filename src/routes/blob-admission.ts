import { causeOf } from '../cause.ts'
import type { BlobService } from '../blob.ts'
import { withDeadline } from '../deadline.ts'
import { isVouchedFor, type Gate } from '../gate.ts'
import { errorAnswer, type Answer } from '../http/answer.ts'
import type { Judge } from '../judge.ts'
import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import type { Ring } from '../policy/ring.ts'
import type { Judgement, Mode, Outcome } from '../policy/types.ts'
import type { InRing } from '../rings/per-ring.ts'
import type { StateStore } from '../store/types.ts'
import { UpstreamError, type RegistryClient } from '../upstream/types.ts'
import type { RoutedRequest } from './request.ts'

export type BlobAdmissionDeps = {
  blobs: Pick<BlobService, 'isCached'>
  judge: Pick<Judge, 'judge' | 'standing' | 'undetermined'>
  gate: Pick<Gate, 'peek' | 'admittedLately'>
  state: Pick<StateStore, 'parentsOfBlob' | 'evidenceParentsOfBlob' | 'isManifest' | 'hasBlob' | 'addBlob'>
  modeOf(repositoryName: string, ring: Ring): Mode
  inRing: InRing
  deadline: () => AbortSignal
}

/** What lets a blob out of a repository. */
export type BlobAdmission =
  /** `vouched`: by a manifest whose signer a policy accepts, and not only because none forbids it or can forbid it now. */
  | { readonly kind: 'image'; readonly vouched: boolean }
  /** Only signatures and attestations name it, so it must be one. */
  | { readonly kind: 'evidence' }
  | { readonly kind: 'denied'; readonly answer: Answer }

type Asker = Pick<RoutedRequest, 'repository' | 'ring'>

/** Manifests judged anew for one blob: an ordinary blob has one parent that matters. */
const PARENTS_JUDGED_MAX = 4

/** In enforce mode a blob leaves only where a manifest of this repository that is let through in this ring now names it. */
export async function admitBlob(
  asker: Asker,
  digest: Digest,
  deps: BlobAdmissionDeps,
): Promise<BlobAdmission> {
  const { repository } = asker
  if (deps.state.isManifest(digest)) return denied(404, 'a manifest is not served as a blob')
  if (!isEnforced(asker, deps)) return { kind: 'image', vouched: false }
  const images = await bestOf(asker, deps.state.parentsOfBlob(repository, digest), deps)
  if (images?.outcome.kind === 'serve') return { kind: 'image', vouched: images.isVouched }
  // Signatures and attestations are let through without a policy, so what they name must be looked at.
  const evidence = await bestOf(asker, deps.state.evidenceParentsOfBlob(repository, digest), deps)
  if (evidence?.outcome.kind === 'serve') return { kind: 'evidence' }
  if (images?.outcome.kind === 'hold')
    return denied(503, 'the image that this blob belongs to cannot be verified now; retry later')
  if (images?.outcome.kind === 'refuse')
    return denied(403, 'the image that this blob belongs to is blocked; pull the image to see why')
  return denied(404, 'no image that was let through from this repository names this blob')
}

/**
 * What lets it out as part of an image, by what is known at once: undefined where there is something to wait for, or to refuse.
 * `holds`: whether it still would; absent where that must be looked at anew.
 */
export function admitBlobNow(
  asker: Asker,
  digest: Digest,
  deps: BlobAdmissionDeps,
): { readonly holds?: (() => boolean) | undefined } | undefined {
  const { state } = deps
  const { repository } = asker
  if (state.isManifest(digest)) return undefined
  if (!isEnforced(asker, deps)) return state.hasBlob(repository, digest) ? {} : undefined
  const { served } = knownOf(asker, state.parentsOfBlob(repository, digest), deps)
  if (served === undefined) return undefined
  const isMember = served.isVouched || state.hasBlob(repository, digest)
  return isMember ? { holds: served.holds } : undefined
}

function isEnforced({ repository, ring }: Asker, { modeOf }: Pick<BlobAdmissionDeps, 'modeOf'>): boolean {
  return modeOf(repositoryName(repository), ring) === 'enforce'
}

/** What a manifest that names the blob gets, and whether a policy accepts who signed it. */
type Parent = { readonly outcome: Outcome; readonly isVouched: boolean }

type Served = Parent & {
  /** Whether it is still the outcome; absent where it follows from more than the judgement. */
  readonly holds: (() => boolean) | undefined
}

type Known = {
  /** The best of those that let it out. */
  readonly served: Served | undefined
  readonly others: readonly Parent[]
  /** Manifests of which nothing is known. */
  readonly unknown: readonly Digest[]
}

function knownOf(
  { repository, ring }: Asker,
  parents: readonly Digest[],
  { judge, gate, inRing }: Pick<BlobAdmissionDeps, 'judge' | 'gate' | 'inRing'>,
): Known {
  const others: Parent[] = []
  const served: Served[] = []
  const unknown: Digest[] = []
  for (const parent of parents) {
    const standing = judge.standing(repository, parent)
    const judgement = standing?.judged.judgement ?? gate.admittedLately(repository, parent)
    if (judgement === undefined) {
      unknown.push(parent)
      continue
    }
    const found = parentOf(repository, parent, inRing(judgement, ring), gate)
    const { outcome } = found
    if (outcome.kind !== 'serve') {
      others.push(found)
      continue
    }
    // What a stance let pass depends on outages and budgets too.
    served.push({ ...found, holds: outcome.admitted.length === 0 ? standing?.holds : undefined })
  }
  return { served: served.find(({ isVouched }) => isVouched) ?? served[0], others, unknown }
}

/**
 * Where revocations alone are enforced and none hits, or a policy lets everything through (`static`), nobody has signed that
 * what the manifest names belongs to it.
 */
function parentOf(
  repository: Repository,
  parent: Digest,
  ruling: Judgement,
  gate: BlobAdmissionDeps['gate'],
): Parent {
  const outcome = gate.peek(repository, parent, ruling)
  if (outcome.kind !== 'serve' || !isVouchedFor(outcome)) return { outcome, isVouched: false }
  const isSigned = ruling.results.some(
    ({ mode, verdict }) =>
      mode === 'enforce' &&
      verdict.kind === 'satisfied' &&
      verdict.by.some(({ signer }) => signer !== undefined),
  )
  return { outcome, isVouched: isSigned || outcome.admitted.length > 0 }
}

/** The best outcome of any of the manifests. Those already judged are asked first, and only a few of the others. */
async function bestOf(
  asker: Asker,
  parents: readonly Digest[],
  deps: BlobAdmissionDeps,
): Promise<Parent | undefined> {
  const { served, others, unknown } = knownOf(asker, parents, deps)
  if (served !== undefined) return served
  const { repository, ring } = asker
  const found = [...others]
  const signal = deps.deadline()
  for (const parent of unknown.slice(0, PARENTS_JUDGED_MAX)) {
    // oxlint-disable-next-line no-await-in-loop -- the first that admits is enough
    const judgement = await judgementOf(repository, parent, signal, deps)
    const one = parentOf(repository, parent, deps.inRing(judgement, ring), deps.gate)
    if (one.outcome.kind === 'serve') return one
    found.push(one)
  }
  return found.find(({ outcome }) => outcome.kind === 'hold') ?? found[0]
}

/** A manifest that cannot be had or judged now must not hide another one that admits the blob. */
async function judgementOf(
  repository: Repository,
  parent: Digest,
  signal: AbortSignal,
  { judge }: Pick<BlobAdmissionDeps, 'judge'>,
): Promise<Judgement> {
  try {
    return (await withDeadline(judge.judge(repository, parent), signal)).judgement
  } catch (error) {
    const cause = causeOf(error)
    if (cause === undefined) throw error
    return judge.undetermined(repository, parent, cause).judgement
  }
}

/**
 * Bytes are cached by digest for all repositories; that another one's pull has cached them does not make them this
 * one's. A manifest whose signer a policy accepts has said so; otherwise upstream is asked, once. Throws UpstreamError.
 */
export async function assertMember(
  { repository, client }: { repository: Repository; client: RegistryClient },
  digest: Digest,
  { blobs, state, deadline }: Pick<BlobAdmissionDeps, 'blobs' | 'state' | 'deadline'>,
): Promise<void> {
  if (!blobs.isCached(digest) || state.hasBlob(repository, digest)) return
  try {
    await client.headBlob(repository, digest, deadline())
    state.addBlob(repository, digest)
  } catch (error) {
    const isOutage =
      error instanceof UpstreamError && (error.code === 'unavailable' || error.code === 'timeout')
    const isNamed = state.parentsOfBlob(repository, digest).length > 0
    if (!isOutage || !isNamed) throw error
  }
}

function denied(status: 403 | 404 | 503, message: string): BlobAdmission {
  const code = status === 403 ? 'DENIED' : status === 404 ? 'BLOB_UNKNOWN' : 'UNAVAILABLE'
  return { kind: 'denied', answer: errorAnswer({ status, code, message }) }
}
