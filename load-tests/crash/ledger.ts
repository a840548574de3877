import { existsSync } from 'node:fs'
import { contentPath } from '../../src/store/content-files.ts'
import { parseDigest, digestOf, matchesDigest, type Digest } from '../../src/oci/digest.ts'
import type { Reply } from '../../test/integration/http.ts'
import type { Accepted, Blob, Refused, World } from './world.ts'

/** What was asked for. */
export type Question =
  | { readonly kind: 'manifest'; readonly image: Accepted }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'blob'; readonly blob: Blob; readonly range?: { start: number; end: number } }
  | { readonly kind: 'refused'; readonly refused: Refused; readonly by: 'tag' | 'digest' }

const VIOLATIONS_MAX = 10

/**
 * What clients have seen, which no crash may take back, and every answer that must not be. An answer that broke off proves
 * nothing, and must not look whole.
 */
export class Ledger {
  readonly violations: string[] = []
  /** Ids of refusals whose head arrived. */
  readonly decisions = new Map<string, Refused>()
  /** Manifests that arrived whole. */
  readonly served = new Map<Digest, Accepted>()
  /** The newest place in each tag's history that a client has seen. */
  readonly tagPositions = new Map<string, number>()
  /** Blobs that arrived whole and were on disk after a kill: they are written after their last byte has left. */
  readonly keptBlobs = new Map<Digest, Blob>()
  readonly #arrivedBlobs = new Map<Digest, Blob>()
  answers = 0
  brokenAnswers = 0
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** Looks which of the blobs that arrived are content by now. From then on no crash may take them away. */
  noteKept(): void {
    for (const [digest, blob] of this.#arrivedBlobs) {
      if (!existsSync(contentPath(this.#world.content, digest).path)) continue
      this.keptBlobs.set(digest, blob)
      this.#arrivedBlobs.delete(digest)
    }
  }

  /** The first ones tell what is wrong; the rest follow from them. */
  violation(text: string): void {
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push(text)
  }

  /** `isLight`: whatever is published can be had, so nothing that is signed may be missing. */
  judge(question: Question, reply: Reply, isLight: boolean): void {
    this.answers += 1
    if (reply.broken) this.brokenAnswers += 1
    const wrong = this.#findWrong(question, reply, isLight)
    if (wrong !== undefined) this.violation(`${describe(question)}: ${reply.status}: ${wrong}`)
  }

  #findWrong(question: Question, reply: Reply, isLight: boolean): string | undefined {
    switch (question.kind) {
      case 'refused':
        return this.#judgeRefused(question.refused, reply, isLight)
      case 'blob':
        return this.#judgeBlob(question, reply, isLight)
      case 'manifest':
        return this.#judgeManifest(reply, isLight, (digest) =>
          digest === question.image.digest ? undefined : 'another manifest than the one asked for',
        )
      case 'tag':
        return this.#judgeManifest(reply, isLight, (digest) => this.#judgeTag(question.tag, digest, reply))
    }
  }

  #judgeRefused(refused: Refused, { status, headers }: Reply, isLight: boolean): string | undefined {
    if (status < 400) return 'an unsigned image was let through'
    const id = headers['x-portcullis-decision-id']
    if (status === 403 && id !== undefined) this.decisions.set(id, refused)
    return isLight && status !== 403 ? 'not refused but something else' : undefined
  }

  #judgeManifest(
    reply: Reply,
    isLight: boolean,
    judgeDigest: (digest: Digest) => string | undefined,
  ): string | undefined {
    if (reply.status === 403) return 'a signed image was refused'
    if (reply.status !== 200) return isLight ? `a signed image was not served: ${text(reply)}` : undefined
    if (reply.broken) return undefined
    const digest = digestOf(reply.body)
    if (parseDigest(reply.headers['docker-content-digest'] ?? '') !== digest) return 'wrong bytes'
    const image = this.#world.accepted.find((one) => one.digest === digest)
    if (image === undefined) return 'a manifest that was never signed'
    this.served.set(digest, image)
    return judgeDigest(digest)
  }

  /** A tag never goes back to what it was before a crash. */
  #judgeTag(tag: string, digest: Digest, { broken }: Reply): string | undefined {
    const position = this.#world.tags.get(tag)?.indexOf(digest) ?? -1
    if (position < 0) return 'a manifest that the tag never pointed to'
    if (position < (this.tagPositions.get(tag) ?? 0)) return 'the tag went back'
    if (!broken) this.tagPositions.set(tag, position)
    return undefined
  }

  #judgeBlob(
    { blob, range }: Question & { kind: 'blob' },
    reply: Reply,
    isLight: boolean,
  ): string | undefined {
    if (reply.status !== 200 && reply.status !== 206)
      return isLight ? `a blob of a signed image was not served: ${text(reply)}` : undefined
    if (reply.status === 206)
      return judgeRange(blob.bytes.subarray(range?.start, (range?.end ?? 0) + 1), reply)
    if (reply.broken) return judgeBeginning(blob.bytes, reply)
    if (!matchesDigest(reply.body, blob.digest)) return 'wrong bytes'
    if (!this.keptBlobs.has(blob.digest)) this.#arrivedBlobs.set(blob.digest, blob)
    return undefined
  }
}

function judgeRange(expected: Buffer, reply: Reply): string | undefined {
  if (reply.broken) return judgeBeginning(expected, reply)
  return reply.body.equals(expected) ? undefined : 'wrong bytes of a range'
}

/** What broke off is at least the beginning of what it would have been. */
function judgeBeginning(expected: Buffer, { body }: Reply): string | undefined {
  return body.equals(expected.subarray(0, body.length)) ? undefined : 'wrong bytes, broken off'
}

function describe(question: Question): string {
  switch (question.kind) {
    case 'manifest':
      return `manifest ${question.image.digest}`
    case 'tag':
      return `tag ${question.tag}`
    case 'blob':
      return `blob ${question.blob.digest} ${JSON.stringify(question.range ?? 'whole')}`
    case 'refused':
      return `unsigned ${question.refused.tag} by ${question.by}`
  }
}

function text({ body, broken }: Reply): string {
  return `${body.toString('utf8', 0, 300)}${broken ? ' (broken off)' : ''}`
}
