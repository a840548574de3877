import { generateKeyPairSync } from 'node:crypto'
import type { Digest } from '../../src/oci/digest.ts'
import { signImage } from '../../src/testing/evidence.ts'
import { buildImage, descriptorOf, publishImage, type BuiltImage } from '../../src/testing/images.ts'
import { startRegistry } from '../../src/testing/registry.ts'
import { createSigstore, managedSigner } from '../../src/testing/sigstore.ts'
import type { Move } from './history.ts'

const REPOSITORY = 'load/churn'
/** So many are moved through before one comes again: an answer that old would look like a fresh one. */
const IMAGES = 128

type Moving = Disposable & { readonly moves: readonly Move[] }

/** A registry whose tags are moved from image to image. */
export type ChurningWorld = AsyncDisposable & {
  /** `127.0.0.1:port` */
  readonly host: string
  readonly repository: string
  /** Of whoever signs what is signed, PEM. */
  readonly publicKey: string
  /** Of each manifest: all have one length. */
  readonly manifestBytes: number
  /** Points `tag` at the next image now and every `everyMs`; signed ones only, or every other one unsigned. */
  move(tag: string, everyMs: number, through: 'signed' | 'every other'): Moving
  /** Points `tag` at a signed image, where it stays. */
  settle(tag: string): void
}

function imageOf(kind: 'signed' | 'unsigned', index: number): BuiltImage {
  const name = `${kind.padEnd(8, '-')}-${String(index).padStart(3, '0')}`
  return buildImage({ annotations: { 'org.opencontainers.image.title': name } })
}

function imagesOf(kind: 'signed' | 'unsigned'): readonly BuiltImage[] {
  return Array.from({ length: IMAGES }, (_, index) => imageOf(kind, index))
}

export async function createChurningWorld(): Promise<ChurningWorld> {
  const registry = await startRegistry()
  const sigstore = await createSigstore()
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const signer = managedSigner(pair)
  const [signed, unsigned] = [imagesOf('signed'), imagesOf('unsigned')]
  for (const image of [...signed, ...unsigned]) publishImage(registry, REPOSITORY, undefined, image)
  for (const image of signed) {
    const place = { registry, repository: REPOSITORY, subject: descriptorOf(image) }
    await signImage(place, sigstore, signer, { form: 'tag', log: 0 })
  }
  const releases = {
    signed: signed.map(({ digest }) => ({ digest, isSigned: true })),
    'every other': signed.flatMap(({ digest }, index) => [
      { digest, isSigned: true },
      { digest: unsigned[index]?.digest ?? digest, isSigned: false },
    ]),
  }
  const point = (tag: string, digest: Digest) => {
    registry.tag(REPOSITORY, tag, digest)
    // It keeps everything that was ever asked, and nobody reads it here.
    registry.requests.length = 0
  }
  return {
    host: registry.host,
    repository: REPOSITORY,
    publicKey: pair.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    manifestBytes: signed[0]?.manifest.length ?? 0,
    move(tag, everyMs, through) {
      const moves: Move[] = []
      const next = () => {
        const release = releases[through][moves.length % releases[through].length]
        if (release === undefined) return
        moves.push({ ...release, atMs: performance.now() })
        point(tag, release.digest)
      }
      next()
      const timer = setInterval(next, everyMs)
      return { moves, [Symbol.dispose]: () => clearInterval(timer) }
    },
    settle: (tag) => {
      if (signed[0] !== undefined) point(tag, signed[0].digest)
    },
    [Symbol.asyncDispose]: () => registry.stop(),
  }
}
