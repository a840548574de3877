import { createHash, hash } from 'node:crypto'

declare const digestBrand: unique symbol

/** `algorithm:hex`, checked: OCI image-spec 1.1, descriptor.md "Digests". Safe to use in paths and URLs. */
export type Digest = string & { readonly [digestBrand]: true }

export type DigestAlgorithm = 'sha256' | 'sha384' | 'sha512'

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/

function isDigest(text: string): text is Digest {
  return DIGEST.test(text)
}

/** The digest that `text` spells, or undefined. Upper case hex and unknown algorithms are not digests. */
export function parseDigest(text: string): Digest | undefined {
  return isDigest(text) ? text : undefined
}

export function digestParts(digest: Digest): { algorithm: DigestAlgorithm; hex: string } {
  const algorithm = digest.startsWith('sha256') ? 'sha256' : digest.startsWith('sha384') ? 'sha384' : 'sha512'
  return { algorithm, hex: digest.slice(algorithm.length + 1) }
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  const text = `${algorithm}:${hash(algorithm, bytes, 'hex')}`
  if (!isDigest(text)) throw new TypeError(`not a digest: ${text}`)
  return text
}

export function matchesDigest(bytes: Uint8Array, digest: Digest): boolean {
  return digestOf(bytes, digestParts(digest).algorithm) === digest
}

/** A digest computed piece by piece; `matches()` may be asked once, at the end. */
export function digestVerifier(expected: Digest): { update(chunk: Uint8Array): void; matches(): boolean } {
  const { algorithm, hex } = digestParts(expected)
  const running = createHash(algorithm)
  return {
    update: (chunk) => void running.update(chunk),
    matches: () => running.digest('hex') === hex,
  }
}
