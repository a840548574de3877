import { createHash, randomBytes } from 'node:crypto'
import { digestOf, parseDigest, type Digest } from '../../src/oci/digest.ts'
import { buildImage, type BuiltImage } from '../../src/testing/images.ts'

const TILE_BYTES = 1_000_000

/** A blob too long to be held in memory many times over: one random tile again and again. */
export type TiledBlob = { readonly digest: Digest; readonly bytes: number; readonly tile: Buffer }

function* tilesOf({ bytes, tile }: Pick<TiledBlob, 'bytes' | 'tile'>): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= tile.length)
    yield left < tile.length ? tile.subarray(0, left) : tile
}

export function createBlob(bytes: number): TiledBlob {
  const tile = randomBytes(Math.min(bytes, TILE_BYTES))
  const hash = createHash('sha256')
  for (const part of tilesOf({ bytes, tile })) hash.update(part)
  const digest = parseDigest(`sha256:${hash.digest('hex')}`)
  if (digest === undefined) throw new TypeError('not a digest')
  return { digest, bytes, tile }
}

/** POST for an upload, then one PUT that streams (OCI distribution-spec 1.1). */
export async function pushTiledBlob(host: string, repository: string, blob: TiledBlob): Promise<void> {
  const uploads = `http://${host}/v2/${repository}/blobs/uploads/`
  const opened = await fetch(uploads, { method: 'POST' })
  const location = new URL(opened.headers.get('location') ?? '', uploads)
  location.searchParams.set('digest', blob.digest)
  const body = ReadableStream.from(tilesOf(blob))
  const headers = { 'content-type': 'application/octet-stream' }
  const put = await fetch(location, { method: 'PUT', body, headers, duplex: 'half' })
  if (put.status !== 201) throw new Error(`${location.href}: ${put.status} ${await put.text()}`)
}

/** An image whose layers are these blobs, whatever is in them; they are pushed apart. */
export function imageOf(blobs: readonly TiledBlob[]): BuiltImage {
  const base = buildImage()
  const fields: Record<string, unknown> = JSON.parse(base.manifest.toString())
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
  const layers = blobs.map(({ digest, bytes }) => ({ mediaType, digest, size: bytes }))
  const manifest = Buffer.from(JSON.stringify({ ...fields, layers }))
  return { ...base, manifest, digest: digestOf(manifest), layers: [] }
}
