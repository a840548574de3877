import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { ASN1Obj, X509Certificate } from '@sigstore/core'
import { isAcceptedKey } from './public-key.ts'

/** Signature algorithms by OID: RFC 5758 section 3.2 and RFC 8017 appendix C. */
const SIGNATURE_HASHES: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
}

function encodeLength(length: number): readonly number[] {
  if (length < 0x80) return [length]
  if (length < 0x100) return [0x81, length]
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff]
  return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]
}

/** The bytes of ASN1Obj.toDER(), which allocates several KiB a node and took 60 % of a verification. */
function encodeDer(node: ASN1Obj): Buffer {
  const value = node.subs.length > 0 ? Buffer.concat(node.subs.map(encodeDer)) : node.value
  return Buffer.concat([Buffer.from([node.tag.toDER(), ...encodeLength(value.length)]), value])
}

/**
 * A certificate that computes what follows from its bytes once: encodings, key, dates, extensions, and whether a given
 * issuer signed it. Certificates of a trust root live as long as the root, so their signatures on each other are
 * verified once; the certificate of a candidate is a new object each time and so is always verified.
 */
export class Certificate extends X509Certificate {
  readonly #memo = new Map<string, unknown>()
  readonly #signedBy = new WeakMap<X509Certificate, boolean>()

  static override parse(der: Uint8Array | string): Certificate {
    const bytes = typeof der === 'string' ? X509Certificate.parse(der).root.toDER() : der
    return new Certificate(ASN1Obj.parseBuffer(Buffer.from(bytes)))
  }

  #once<T>(name: string, compute: () => T): T {
    if (!this.#memo.has(name)) this.#memo.set(name, compute())
    // Each name is used by one getter only, so what is stored under it has that getter's type.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return this.#memo.get(name) as T
  }

  get der(): Buffer {
    return this.#once('der', () => encodeDer(this.root))
  }

  get keyObject(): KeyObject {
    return this.#once('key', () => createPublicKey({ key: this.publicKey, format: 'der', type: 'spki' }))
  }

  override get publicKey(): Buffer {
    return this.#once('spki', () => {
      const [, , , , , , spki] = this.tbsCertificate.subs
      if (spki === undefined) throw new TypeError('certificate without a public key')
      return encodeDer(spki)
    })
  }

  override get subject(): Buffer {
    return this.#once('subject', () => super.subject)
  }

  override get issuer(): Buffer {
    return this.#once('issuer', () => super.issuer)
  }

  override get notBefore(): Date {
    return this.#once('notBefore', () => super.notBefore)
  }

  override get notAfter(): Date {
    return this.#once('notAfter', () => super.notAfter)
  }

  override get extensions(): ASN1Obj[] {
    return this.#once('extensions', () => super.extensions)
  }

  override get extBasicConstraints(): X509Certificate['extBasicConstraints'] {
    return this.#once('basicConstraints', () => super.extBasicConstraints)
  }

  override get extKeyUsage(): X509Certificate['extKeyUsage'] {
    return this.#once('keyUsage', () => super.extKeyUsage)
  }

  override get extAuthorityKeyID(): X509Certificate['extAuthorityKeyID'] {
    return this.#once('authorityKeyId', () => super.extAuthorityKeyID)
  }

  override get extSubjectKeyID(): X509Certificate['extSubjectKeyID'] {
    return this.#once('subjectKeyId', () => super.extSubjectKeyID)
  }

  override equals(other: X509Certificate): boolean {
    return this === other || this.der.equals(other instanceof Certificate ? other.der : encodeDer(other.root))
  }

  /** Copied by @sigstore/verify to cut the SCTs out and encode the rest again (RFC 6962 section 3.2). */
  override clone(): X509Certificate {
    const copy = X509Certificate.parse(Buffer.from(this.der))
    const tbs = copy.tbsCertificate
    Object.assign(tbs, { toDER: () => encodeDer(tbs) })
    return copy
  }

  override verify(issuer: X509Certificate = this): boolean {
    const known = this.#signedBy.get(issuer)
    if (known !== undefined) return known
    const valid = this.#verifySignature(issuer)
    this.#signedBy.set(issuer, valid)
    return valid
  }

  #verifySignature(issuer: X509Certificate): boolean {
    const algorithm = SIGNATURE_HASHES[this.root.subs[1]?.subs[0]?.toOID() ?? '']
    if (algorithm === undefined) return false
    try {
      const key =
        issuer instanceof Certificate
          ? issuer.keyObject
          : createPublicKey({ key: issuer.publicKey, format: 'der', type: 'spki' })
      return isAcceptedKey(key) && verify(algorithm, encodeDer(this.tbsCertificate), key, this.signatureValue)
    } catch {
      return false
    }
  }
}
