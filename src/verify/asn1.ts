import { ASN1Obj } from '@sigstore/core'

/**
 * DER into the nodes of @sigstore/core. Its own parser tries every OCTET STRING as DER and takes each failure as an
 * exception: the text in Fulcio's extensions made that half of the time of a verification, and 16 KiB of garbage held
 * the event loop for 40 ms. This one gives the same nodes without exceptions.
 */

type Tag = ASN1Obj['tag']

/**
 * A node that knows the bytes it came from, for its parser takes one encoding only, and decodes its OID once. The
 * library encodes nodes anew at every use, which took 60 % of a verification, and looks up an extension by decoding the
 * OIDs of all before it.
 */
class Node extends ASN1Obj {
  readonly #headerBytes: number
  #oid: string | undefined

  constructor(tag: Tag, value: Buffer, subs: ASN1Obj[], headerBytes: number) {
    super(tag, value, subs)
    this.#headerBytes = headerBytes
  }

  /** A copy: the library writes another tag into what it gets, as RFC 5652 section 5.4 wants of signed attributes. */
  override toDER(): Buffer {
    const { buffer, byteOffset, length } = this.value
    const header = this.#headerBytes
    return Buffer.from(new Uint8Array(buffer, byteOffset - header, header + length))
  }

  override toOID(): string {
    this.#oid ??= super.toOID()
    return this.#oid
  }
}

type Parsed = { readonly node: ASN1Obj; readonly end: number }

const DEPTH_MAX = 100
const LENGTH_BYTES_MAX = 6

/** By identifier octet; undefined for those that the library refuses (long form, and universal 0). */
const TAGS: readonly (Tag | undefined)[] = Array.from({ length: 256 }, (_, octet) => {
  try {
    return ASN1Obj.parseBuffer(Buffer.of(octet, 0)).tag
  } catch {
    return undefined
  }
})

/** X.690 section 10.1: definite, and in as few octets as there can be. `start` is where the content begins. */
function readLength(
  der: Buffer,
  position: number,
  end: number,
): { start: number; length: number } | undefined {
  const first = position < end ? der[position] : undefined
  if (first === undefined) return undefined
  if (first < 0x80) return { start: position + 1, length: first }
  const count = first & 0x7f
  const start = position + 1 + count
  if (count === 0 || count > LENGTH_BYTES_MAX || start > end || der[position + 1] === 0) return undefined
  const length = der.readUIntBE(position + 1, count)
  return length < 0x80 ? undefined : { start, length }
}

/** The nodes that fill the range exactly, or undefined. */
function readNodes(der: Buffer, start: number, end: number, depth: number): ASN1Obj[] | undefined {
  const nodes: ASN1Obj[] = []
  let position = start
  while (position < end) {
    const parsed = readNode(der, position, end, depth)
    if (parsed === undefined) return undefined
    nodes.push(parsed.node)
    position = parsed.end
  }
  return nodes
}

function readNode(der: Buffer, position: number, end: number, depth: number): Parsed | undefined {
  const tag = TAGS[der[position] ?? 0]
  const header = readLength(der, position + 1, end)
  if (tag === undefined || header === undefined || depth > DEPTH_MAX) return undefined
  const stop = header.start + header.length
  if (stop > end) return undefined
  const hasNodes = tag.constructed || tag.isOctetString()
  const nodes = hasNodes ? readNodes(der, header.start, stop, depth + 1) : []
  if (nodes === undefined && tag.constructed) return undefined
  const node = new Node(tag, der.subarray(header.start, stop), nodes ?? [], header.start - position)
  return { node, end: stop }
}

/** Parses one DER value with nothing behind it. Throws SyntaxError. */
export function parseDer(bytes: Uint8Array): ASN1Obj {
  const der = Buffer.from(bytes)
  const parsed = readNode(der, 0, der.length, 0)
  if (parsed === undefined || parsed.end !== der.length) throw new SyntaxError('not DER')
  return parsed.node
}
