import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { ASN1Obj, X509Certificate } from '@sigstore/core'
import { parseDer } from './asn1.ts'
import { distinguishedName } from './distinguished-name.ts'
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

/** RFC 5280 section 4.1: the issuer is the fourth part of what is signed, the subject the sixth. */
function nameAt({ tbsCertificate }: X509Certificate, index: 3 | 5): string {
  const name = tbsCertificate.subs[index]
  if (name === undefined) throw new SyntaxError('certificate without a name')
  return distinguishedName(name)
}

function encodeLength(length: number): readonly number[] {
  if (length < 0x80) return [length]
  if (length < 0x100) return [0x81, length]
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff]
  return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]
}

function element(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, ...encodeLength(content.length)]), content])
}

/** A copy of a node that is encoded from its children, because those may be exchanged. */
class Rebuilt extends ASN1Obj {
  constructor({ tag, value }: ASN1Obj, subs: ASN1Obj[]) {
    super(tag, value, subs)
  }

  override toDER(): Buffer {
    return element(this.tag.toDER(), Buffer.concat(this.subs.map((sub) => sub.toDER())))
  }
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
    return new Certificate(parseDer(bytes))
  }

  #once<T>(name: string, compute: () => T): T {
    if (!this.#memo.has(name)) this.#memo.set(name, compute())
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one getter a name, so what is stored has its type
    return this.#memo.get(name) as T
  }

  get der(): Buffer {
    return this.#once('der', () => this.root.toDER())
  }

  get keyObject(): KeyObject {
    return this.#once('key', () => createPublicKey({ key: this.publicKey, format: 'der', type: 'spki' }))
  }

  override get publicKey(): Buffer {
    return this.#once('spki', () => {
      const [, , , , , , spki] = this.tbsCertificate.subs
      if (spki === undefined) throw new TypeError('certificate without a public key')
      return spki.toDER()
    })
  }

  override get subject(): Buffer {
    return this.#once('subject', () => super.subject)
  }

  override get issuer(): Buffer {
    return this.#once('issuer', () => super.issuer)
  }

  /** As RFC 4514 writes it. */
  get issuerName(): string {
    return this.#once('issuerName', () => nameAt(this, 3))
  }

  get subjectName(): string {
    return this.#once('subjectName', () => nameAt(this, 5))
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
    return this === other || this.der.equals(other instanceof Certificate ? other.der : other.root.toDER())
  }

  /**
   * @sigstore/verify takes a copy, cuts the SCTs out of its extensions and encodes the rest (RFC 6962 section 3.2). So
   * only the nodes on the way there are copied.
   */
  override clone(): X509Certificate {
    const tbs = this.tbsCertificate
    const subs = tbs.subs.map((sub) =>
      sub.tag.isContextSpecific(3)
        ? new Rebuilt(
            sub,
            sub.subs.map((list) => new Rebuilt(list, [...list.subs])),
          )
        : sub,
    )
    return new X509Certificate(new Rebuilt(this.root, [new Rebuilt(tbs, subs), ...this.root.subs.slice(1)]))
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
      return isAcceptedKey(key) && verify(algorithm, this.tbsCertificate.toDER(), key, this.signatureValue)
    } catch {
      return false
    }
  }
}
