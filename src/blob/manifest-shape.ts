import { manifestLook } from '../oci/manifest.ts'
import { MANIFEST_BYTES_MAX } from '../oci/manifest-types.ts'
import { finishInTurns } from '../work/turns.ts'

const OPENING_BRACE = 0x7b
const BYTE_ORDER_MARK = 0xef
/** RFC 8259 §2: space, tab, line feed, carriage return. */
const JSON_SPACE = Uint8Array.from({ length: 256 }, (_, byte) =>
  [0x20, 0x09, 0x0a, 0x0d].includes(byte) ? 1 : 0,
)

/** The beginning of a blob: the whole of it where it could be a manifest, else a chunk or more. */
export type BlobHead = { readonly bytes: Buffer; readonly isWhole: boolean }

/** No client reads a manifest larger than this (containerd and containers/image stop there), so none needs a look. */
export function mayBeManifest(size: number | undefined): boolean {
  return size === undefined || size <= MANIFEST_BYTES_MAX
}

/**
 * Reads on until it is certain that the content is no JSON object of a manifest's size, or at its end. A manifest is
 * also a blob to a registry, so without this `GET /blobs/<digest>` would get around every decision.
 */
export async function readHead(
  chunks: AsyncGenerator<Buffer, void, undefined>,
  size: number | undefined,
): Promise<BlobHead> {
  const parts: Buffer[] = []
  let length = 0
  let isObject = mayBeManifest(size) ? undefined : false
  while (isObject !== false && length <= MANIFEST_BYTES_MAX) {
    const next = await chunks.next()
    if (next.done === true) return { bytes: Buffer.concat(parts), isWhole: true }
    parts.push(next.value)
    length += next.value.length
    isObject ??= beginsObject(next.value)
  }
  return { bytes: Buffer.concat(parts), isWhole: false }
}

/** Undefined where there is nothing but space so far. */
function beginsObject(bytes: Buffer): boolean | undefined {
  let start = 0
  while (JSON_SPACE[bytes[start] ?? 0] === 1) start++
  const first = bytes[start]
  return first === undefined ? undefined : first === OPENING_BRACE || first === BYTE_ORDER_MARK
}

/** Leaves others their turn: 4 MiB that are all keys take a tenth of a second. */
export async function isManifest(bytes: Buffer): Promise<boolean> {
  return mayBeManifest(bytes.length) && (await finishInTurns(manifestLook(bytes)))
}
