import { createPublicKey, type KeyObject } from 'node:crypto'
import { EvidenceError } from './evidence-error.ts'

/** Protobuf's JSON mapping takes the standard and the URL alphabet, padded or not; Go's reader also skips line ends. */
const BASE64 = /^[A-Za-z0-9+/_\r\n-]*={0,2}[\r\n]*$/

/** Where Buffer.from skips what it cannot read, two texts could mean the same bytes; here only line ends may differ. */
export function isBase64(text: string): boolean {
  // Decoding is faster than the expression below, and gives this many bytes only where nothing was skipped.
  if (text.length % 4 === 0 && Buffer.from(text, 'base64').length === wholeLengthOf(text)) return true
  if (!BASE64.test(text)) return false
  const digits = text.replaceAll(/[\r\n=]/g, '')
  return digits.length % 4 !== 1
}

/** Bytes in padded base64 of this length. */
function wholeLengthOf(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return (text.length / 4) * 3 - padding
}

export function decodeBase64(value: unknown, what: string): Buffer {
  if (typeof value !== 'string' || value === '') throw new EvidenceError('malformed', `${what} is missing`)
  if (!isBase64(value)) throw new EvidenceError('malformed', `${what} is not base64`)
  return Buffer.from(value, 'base64')
}

export type PemBlock = { readonly label: string; readonly der: Buffer }

/** RFC 7468. The only block of a PEM text; undefined where there is none, more than one, or a damaged one. */
export function readPem(text: string): PemBlock | undefined {
  const lines = text
    .trim()
    .split('\n')
    .map((line) => line.trim())
  const label = /^-----BEGIN ([A-Z0-9 ]+)-----$/.exec(lines[0] ?? '')?.[1]
  const body = lines.slice(1, -1).join('')
  if (label === undefined || lines.at(-1) !== `-----END ${label}-----`) return undefined
  if (body === '' || !isBase64(body)) return undefined
  return { label, der: Buffer.from(body, 'base64') }
}

/**
 * Every block of a PEM text in order; what stands before, between and after them is not read (RFC 7468 section 2).
 * Undefined where one is damaged.
 */
export function readPemBlocks(text: string): readonly PemBlock[] | undefined {
  const pieces = text.split(/^(?=-----BEGIN )/m).filter((piece) => piece.startsWith('-----BEGIN '))
  const blocks = pieces.flatMap((piece) => readPem(/^[^]*?\n-----END .*/.exec(piece)?.[0] ?? '') ?? [])
  return blocks.length === pieces.length ? blocks : undefined
}

/** DER of the SubjectPublicKeyInfo: the form in which keys are compared. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' })
}

/** The key in a PEM block of either public key form; undefined where the block holds something else. */
export function publicKeyOf(block: PemBlock): KeyObject | undefined {
  const type = block.label === 'PUBLIC KEY' ? 'spki' : block.label === 'RSA PUBLIC KEY' ? 'pkcs1' : undefined
  if (type === undefined) return undefined
  try {
    return createPublicKey({ key: block.der, format: 'der', type })
  } catch {
    return undefined
  }
}
