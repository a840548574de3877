import { hash } from 'node:crypto'
import nodeFiles from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { Discovery } from '../../discover/types.ts'
import { matchesDigest, parseDigest, type Digest } from '../../oci/digest.ts'
import { writeFileAtomically } from '../../store/atomic-file.ts'
import type { Files } from '../../store/content-files.ts'
import { decodeDiscovery, encodeDiscovery } from '../../store/discovery-codec.ts'
import { isMissing } from '../../store/error.ts'
import type { BundleVersion } from './format.ts'

/** A bundle with all that proves it, so that nobody need be asked for it again. */
export type WholeBundle = {
  readonly digest: Digest
  readonly contentType: string
  /** The manifest itself. */
  readonly manifest: Buffer
  readonly evidence: Discovery
  readonly blobs: ReadonlyMap<Digest, Buffer>
}

export type KeptFileSystem = Pick<Files, 'open' | 'readFile' | 'mkdir' | 'rename' | 'rm'>

/** Only this process reads and writes here. */
const DIRECTORY_MODE = 0o700

const digestSchema = z.custom<Digest>(
  (value) => typeof value === 'string' && parseDigest(value) !== undefined,
)
const bytesSchema = z.base64().transform((text) => Buffer.from(text, 'base64'))

const versionSchema = z.strictObject({ image: z.string(), digest: digestSchema, serial: z.int().min(1) })

const bundleSchema = z.strictObject({
  format: z.literal(1),
  digest: digestSchema,
  contentType: z.string(),
  manifest: bytesSchema,
  evidence: z.strictObject({ header: z.string(), bytes: bytesSchema, checksum: z.string() }),
  blobs: z.array(z.tuple([digestSchema, bytesSchema])),
})

/**
 * The last bundle that was in force, on disk, for a start without its registry. What is read proves itself by its digests
 * and its evidence; nothing of it is believed for being here. Only that no older one may follow is.
 */
export class KeptBundle {
  readonly #image: string
  readonly #directory: string
  readonly #files: KeptFileSystem

  /** `image` as configured: another one begins anew. */
  constructor(image: string, directory: string, files: KeptFileSystem = nodeFiles) {
    this.#image = image
    this.#directory = directory
    this.#files = files
  }

  /** Undefined where none was kept. Rejects where what is there is not what was written, or the disk fails. */
  async read(): Promise<WholeBundle | undefined> {
    const text = await this.#read('bundle')
    if (text === undefined) return undefined
    const { evidence, format: _, ...stored } = bundleSchema.parse(JSON.parse(text))
    const blobs = new Map(stored.blobs)
    const discovery = decodeDiscovery(evidence)
    const parts = [[stored.digest, stored.manifest] as const, ...blobs]
    if (discovery === undefined || !parts.every(([digest, bytes]) => matchesDigest(bytes, digest)))
      throw new SyntaxError('its bytes are not those of its digests')
    return { ...stored, evidence: discovery, blobs }
  }

  /** The version that was in force last; apart from the bundle, so that it outlives a damaged one. Rejects likewise. */
  async version(): Promise<BundleVersion | undefined> {
    const text = await this.#read('version')
    if (text === undefined) return undefined
    const { digest, serial, image } = versionSchema.parse(JSON.parse(text))
    if (image !== this.#image) throw new SyntaxError('it is about another image')
    return { digest, serial }
  }

  /** The version first: after a crash between the two, the newer bundle is still fetched and no older one taken. */
  async write(bundle: WholeBundle, serial: number): Promise<void> {
    const { digest, contentType, manifest, evidence, blobs } = bundle
    await this.#files.mkdir(this.#directory, { recursive: true, mode: DIRECTORY_MODE })
    await this.#write('version', { image: this.#image, digest, serial })
    const encoded = encodeDiscovery(evidence)
    await this.#write('bundle', {
      format: 1,
      digest,
      contentType,
      manifest: manifest.toString('base64'),
      evidence: { ...encoded, bytes: encoded.bytes.toString('base64') },
      blobs: [...blobs].map(([name, bytes]) => [name, bytes.toString('base64')]),
    })
  }

  async #read(what: 'bundle' | 'version'): Promise<string | undefined> {
    try {
      return (await this.#files.readFile(this.#path(what))).toString()
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  async #write(what: 'bundle' | 'version', content: object): Promise<void> {
    await writeFileAtomically(this.#path(what), `${JSON.stringify(content)}\n`, { files: this.#files })
  }

  #path(what: 'bundle' | 'version'): string {
    return join(this.#directory, `${hash('sha256', this.#image, 'hex')}.${what}.json`)
  }
}
