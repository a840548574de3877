import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { digestOf } from '../src/oci/digest.ts'
import { MEDIA_TYPE } from '../src/oci/manifest-types.ts'
import { referenceText } from '../src/oci/reference.ts'
import { UpstreamError, type RegistryClient } from '../src/upstream/types.ts'

export function filled(
  sizeBytes: number,
  [start, end]: readonly [string, string],
  item: (n: number) => string,
): Buffer {
  const items: string[] = []
  for (let [n, size] = [0, start.length + end.length]; ; n++) {
    const text = item(n)
    size += text.length + 1
    if (size > sizeBytes) break
    items.push(text)
  }
  return Buffer.from(`${start}${items.join(',')}${end}`)
}

export function descriptor(bytes: Buffer, mediaType: string, fields: object = {}): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length, ...fields }
}

const CONFIG = descriptor(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json')

export function manifest(layers: readonly object[], fields: object = {}): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: CONFIG,
      layers,
      ...fields,
    }),
  )
}

/** A manifest that is all annotations, written as expensively as JSON allows. */
export function annotated(sizeBytes: number, key: (n: number) => string): Buffer {
  const head = manifest([]).toString().slice(0, -1)
  return filled(sizeBytes, [`${head},"annotations":{`, '}}'], (n) => `"${key(n)}":""`)
}

export const plain = (n: number): string => `k${n.toString(36)}`
export const escaped = (n: number): string => `\\u0061${n.toString(36)}`

/** A list that names referrers which nobody has. */
export function referrerList(sizeBytes: number, fields: (n: number) => object = () => ({})): Buffer {
  const list = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPE.ociIndex}","manifests":[`
  return filled(sizeBytes, [list, ']}'], (n) =>
    JSON.stringify(descriptor(Buffer.from(String(n)), MEDIA_TYPE.ociManifest, fields(n))),
  )
}

/** A registry that holds what a pusher has put there. */
export function registry(held: ReadonlyMap<string, Buffer>, pages: readonly Buffer[] = []): RegistryClient {
  const take = (key: string): Promise<Buffer> => {
    const bytes = held.get(key)
    return bytes === undefined ? Promise.reject(new UpstreamError('not-found', key)) : Promise.resolve(bytes)
  }
  const unused = (): Promise<never> => Promise.reject(new UpstreamError('not-found', 'not in this benchmark'))
  return {
    async getManifest(_repository, reference) {
      const bytes = await take(referenceText(reference))
      return { digest: digestOf(bytes), contentType: '', bytes }
    },
    async getBlob(_repository, digest) {
      const bytes = await take(digest)
      return { size: bytes.length, offset: 0, body: Readable.from(pieces(bytes)) }
    },
    getReferrers: () => Promise.resolve(pages),
    headTag: unused,
    headBlob: unused,
    locateBlob: unused,
    getTags: unused,
    close: () => Promise.resolve(),
  }
}

/** As a socket gives them. */
async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) {
    await nextTurn()
    yield bytes.subarray(at, at + 64 * 1024)
  }
}
