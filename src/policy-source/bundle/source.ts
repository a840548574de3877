import { causeOf } from '../../cause.ts'
import { discover } from '../../discover/discover.ts'
import { readBlob } from '../../discover/evidence-blob.ts'
import type { EvidenceReader } from '../../discover/evidence-reader.ts'
import type { Discovery } from '../../discover/types.ts'
import type { Digest } from '../../oci/digest.ts'
import { ManifestError } from '../../oci/manifest-error.ts'
import { imageName, repositoryName, type ImageReference } from '../../oci/reference.ts'
import type { Verdict } from '../../policy/types.ts'
import type { RegistryClient } from '../../upstream/types.ts'
import { failure, type BundleOrigin, type PolicyFiles, type PolicySource, type Reading } from '../source.ts'
import {
  readBundleManifest,
  rollbackProblem,
  type BundleContents,
  type BundleFile,
  type BundleVersion,
} from './format.ts'
import { judgeBundle, type JudgeBundleDeps } from './judge.ts'
import type { KeptBundle, WholeBundle } from './kept-bundle.ts'

export type BundleSourceOptions = {
  readonly image: ImageReference
  readonly lookEveryMs: number
}

export type BundleSourceDeps = JudgeBundleDeps & {
  readonly client: RegistryClient
  readonly runner: EvidenceReader
  readonly disk: Pick<KeptBundle, 'read' | 'version' | 'write'>
  /** What is wrong with what was kept, or with the disk: it stops nobody, and somebody should know. */
  readonly onKeptTrouble: (message: string) => void
}

type Good = Extract<Reading, { ok: true }>

/** The manifest, and what was found to prove it. */
type Proven = Omit<WholeBundle, 'blobs'>

/** Something wrong that is told in one line. */
class BundleProblem extends Error {
  override readonly name = 'BundleProblem'
  readonly isOutage: boolean

  constructor(message: string, isOutage = false) {
    super(message)
    this.isOutage = isOutage
  }
}

/** A signed policy bundle in a registry, judged as an image is, and kept for the day that the registry is away. */
export class BundleSource implements PolicySource {
  readonly lookEveryMs: number
  readonly mayBeMissing = true
  readonly #image: ImageReference
  readonly #deps: BundleSourceDeps
  /** The last that was proven; whether it came into force is another question. */
  #last: WholeBundle | undefined
  /** The last that was in force, in this process or before. */
  #version: BundleVersion | undefined
  /** What is on disk now. */
  #written: WholeBundle | undefined

  constructor({ image, lookEveryMs }: BundleSourceOptions, deps: BundleSourceDeps) {
    this.#image = image
    this.lookEveryMs = lookEveryMs
    this.#deps = deps
  }

  /** To find out takes a question to the registry, which is the first thing that reading does. */
  async mayHaveChanged(): Promise<boolean> {
    return await Promise.resolve(true)
  }

  async kept(signal: AbortSignal): Promise<Good | undefined> {
    try {
      this.#version = await this.#deps.disk.version()
    } catch (error) {
      this.#tellKept('the version of the last policy bundle', error)
    }
    try {
      const bundle = await this.#deps.disk.read()
      if (bundle === undefined) return undefined
      await this.#prove(bundle, bundle.evidence, signal)
      const contents = await this.#contentsOf(bundle, signal)
      // The newer one came into force and could not be written any more.
      const problem = rollbackProblem({ digest: bundle.digest, ...contents }, this.#version)
      if (problem !== undefined) throw new BundleProblem(problem)
      this.#last = this.#written = bundle
      this.#version ??= { digest: bundle.digest, serial: contents.serial }
      return this.#reading(bundle, contents)
    } catch (error) {
      this.#tellKept('the policy bundle that was in force last', error)
      return undefined
    }
  }

  async read(signal: AbortSignal): Promise<Reading> {
    try {
      const proven = await this.#fetchProven(signal)
      const contents = await this.#contentsOf(proven, signal)
      this.#assertMayFollow({ digest: proven.digest, ...contents })
      const bundle = { ...proven, blobs: await this.#fetchBlobs(proven.digest, contents.files, signal) }
      this.#last = bundle
      return this.#reading(bundle, contents)
    } catch (error) {
      return this.#failure(error)
    }
  }

  async #fetchProven(signal: AbortSignal): Promise<Proven> {
    const { client } = this.#deps
    const { repository, reference } = this.#image
    const digest =
      reference.kind === 'digest' ? reference.digest : await client.headTag(repository, reference, signal)
    if (this.#last?.digest === digest) {
      // Again each time: whom it was signed by may not be trusted any more.
      return await this.#prove(this.#last, this.#last.evidence, signal, true)
    }
    const got = await client.getManifest(repository, { kind: 'digest', digest }, signal)
    const bundle = { digest, contentType: got.contentType, manifest: got.bytes }
    return await this.#prove(bundle, undefined, signal, true)
  }

  /** Throws BundleProblem. With `mayAsk`, what is at hand need not be all the evidence. */
  async #prove(
    bundle: Omit<Proven, 'evidence'>,
    known: Discovery | undefined,
    signal: AbortSignal,
    mayAsk = false,
  ): Promise<Proven> {
    const { client, runner } = this.#deps
    const { repository } = this.#image
    const { digest, manifest: bytes } = bundle
    const judge = async (evidence: Discovery): Promise<Verdict> =>
      await judgeBundle({ repository, digest, bytes }, evidence, this.#deps, signal)
    if (known !== undefined) {
      const verdict = await judge(known)
      if (verdict.kind === 'satisfied') return { ...bundle, evidence: known }
      if (!mayAsk) throw problemOf(verdict)
    }
    const evidence = await discover(digest, repository, { client, reader: runner }, signal)
    const verdict = await judge(evidence)
    if (verdict.kind !== 'satisfied') throw problemOf(verdict)
    return { ...bundle, evidence }
  }

  async #contentsOf({ manifest, contentType }: Proven, signal: AbortSignal): Promise<BundleContents> {
    const type = contentType === '' ? undefined : contentType
    const result = readBundleManifest(await this.#deps.runner.parseManifest(manifest, type, signal))
    if (!result.ok) throw new BundleProblem(result.problem)
    return result.contents
  }

  #assertMayFollow(next: BundleVersion & Pick<BundleContents, 'expires'>): void {
    const problem = rollbackProblem(next, this.#version)
    if (problem !== undefined) throw new BundleProblem(problem)
    const { expires } = next
    // What is in force does not vanish because nobody has signed another: it is reported instead.
    if (expires === undefined || next.digest === this.#version?.digest || this.#deps.now() < expires) return
    throw new BundleProblem(`found a bundle that expired at ${expires.toISOString()}`)
  }

  async #fetchBlobs(
    digest: Digest,
    files: readonly BundleFile[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Digest, Buffer>> {
    if (this.#last?.digest === digest) return this.#last.blobs
    const place = { client: this.#deps.client, repository: this.#image.repository, signal }
    const blobs = new Map<Digest, Buffer>()
    for (const { descriptor } of files) {
      // oxlint-disable-next-line no-await-in-loop -- nobody waits for it, and the registry has others to serve
      blobs.set(descriptor.digest, await readBlob(place, descriptor))
    }
    return blobs
  }

  #reading(bundle: WholeBundle, { serial, expires, files }: BundleContents): Good {
    const { digest } = bundle
    const origin: BundleOrigin = { repository: this.#name, digest, serial, expires }
    return {
      ok: true,
      content: digest,
      files: filesOf(files, bundle.blobs),
      origin: { kind: 'bundle', ...origin },
      keep: async () => await this.#keep(bundle, serial),
    }
  }

  async #keep(bundle: WholeBundle, serial: number): Promise<void> {
    this.#version = { digest: bundle.digest, serial }
    if (this.#written?.digest === bundle.digest && this.#written.evidence === bundle.evidence) return
    try {
      await this.#deps.disk.write(bundle, serial)
      this.#written = bundle
    } catch (error) {
      // It counts all the same; the next reading tries again.
      this.#tellKept('the policy bundle cannot be kept', error)
    }
  }

  #failure(error: unknown): Reading {
    const place = imageName(this.#image.repository, this.#image.reference)
    if (error instanceof BundleProblem) return failure(place, error.message, error.isOutage)
    if (error instanceof ManifestError) return failure(place, `found a manifest that ${error.message}`)
    const cause = causeOf(error)
    if (cause === undefined) throw error
    // Of what was proven, a registry that has not the right bytes is no better than one that is away.
    return failure(place, cause.message, cause.dependency !== 'verifier')
  }

  #tellKept(what: string, error: unknown): void {
    const message = error instanceof Error ? error.message : 'unknown error'
    this.#deps.onKeptTrouble(`${what}: ${message}`)
  }

  get #name(): string {
    return repositoryName(this.#image.repository)
  }
}

function filesOf(files: readonly BundleFile[], blobs: ReadonlyMap<Digest, Buffer>): PolicyFiles {
  const texts = files
    .map(({ path, kind, descriptor }) => {
      const bytes = blobs.get(descriptor.digest)
      if (bytes === undefined) throw new BundleProblem(`has no bytes for ${path}`)
      return { path, kind, text: bytes.toString('utf8') }
    })
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
  return {
    policies: texts.filter(({ kind }) => kind === 'policy').map(({ path, text }) => ({ path, text })),
    keys: new Map(texts.filter(({ kind }) => kind === 'key').map(({ path, text }) => [path, text])),
  }
}

function problemOf(verdict: Exclude<Verdict, { kind: 'satisfied' }>): BundleProblem {
  if (verdict.kind === 'undetermined')
    return new BundleProblem(
      `cannot be judged now: ${verdict.causes.map(({ message }) => message).join('; ')}`,
      true,
    )
  const reasons = verdict.reasons.map(({ authority, found, expected }) => {
    const by = authority === undefined ? '' : `${authority}: `
    return `${by}found ${found}, expected ${expected}`
  })
  return new BundleProblem(`is not signed as configured: ${reasons.join('; ')}`)
}
