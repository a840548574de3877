import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import {
  authorityExtensions,
  distinguishedName,
  EXTENDED_KEY_USAGE,
  issueCertificate,
  leafExtensions,
  publicKeyDer,
  subjectAlternativeNames,
  type CertificateExtension,
  type KeyPair,
  type SubjectName,
} from './certificate.ts'
import { octetString, sequence, utf8String } from './der.ts'

/** How a leaf may differ from what Fulcio issues: what an attacker or a broken authority would produce. */
export type LeafOptions = {
  /** Object identifiers; default code signing, an empty list leaves the extension out. */
  readonly extendedKeyUsages?: readonly string[]
  /** More names beside the subject. */
  readonly extraNames?: readonly SubjectName[]
  /** Appended as they are: an unknown critical extension, a duplicate, a malformed value. */
  readonly extraExtensions?: readonly CertificateExtension[]
  /** Default true: embed a signed certificate timestamp. */
  readonly sct?: boolean
}

export type Identity = {
  /** Subject alternative name: a URI where it holds `://`, an e-mail address otherwise, unless `subjectType` says. */
  readonly subject: string
  readonly subjectType?: SubjectName['type']
  readonly issuer: string
  /** N of 1.3.6.1.4.1.57264.1.N -> value, beside the issuer; fulcio docs/oid-info.md. */
  readonly claims?: Readonly<Record<number, string>>
}

/** A certificate authority (root and intermediate, P-384 as the public one) with its certificate transparency log. */
export type Fulcio = {
  /** DER, intermediate first. */
  readonly chain: readonly Buffer[]
  readonly ctLog: { readonly publicKey: Buffer; readonly logId: Buffer }
  /** A leaf for ten minutes from now, as DER. */
  issue(publicKey: KeyObject, identity: Identity, leaf?: LeafOptions): Buffer
}

const LEAF_LIFETIME_MS = 10 * 60_000
const FULCIO_ARC = '1.3.6.1.4.1.57264.1'
const SCT_LIST = '1.3.6.1.4.1.11129.2.4.2'

export function createFulcio(validFor: { start: Date; end: Date }, now: () => Date): Fulcio {
  const root = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const intermediate = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const log = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const rootName = distinguishedName('sigstore.test', 'sigstore')
  const intermediateName = distinguishedName('sigstore.test', 'sigstore-intermediate')
  const authority = (subject: Buffer, publicKey: KeyObject) =>
    issueCertificate({
      issuer: { name: rootName, keyPair: root },
      subject,
      publicKey,
      validFor,
      extensions: authorityExtensions(root.publicKey, publicKey),
    })
  return {
    chain: [authority(intermediateName, intermediate.publicKey), authority(rootName, root.publicKey)],
    ctLog: { publicKey: publicKeyDer(log.publicKey), logId: sha256(publicKeyDer(log.publicKey)) },
    issue: (publicKey, identity, leaf = {}) => {
      const start = now()
      return issueCertificate({
        issuer: { name: intermediateName, keyPair: intermediate },
        subject: sequence(),
        publicKey,
        validFor: { start, end: new Date(start.getTime() + LEAF_LIFETIME_MS) },
        extensions: fulcioExtensions(intermediate.publicKey, publicKey, identity, leaf),
        ...(leaf.sct === false
          ? {}
          : { countersign: (bare: Buffer) => signedTimestamps(log, intermediate.publicKey, bare, start) }),
      })
    },
  }
}

function fulcioExtensions(
  issuer: KeyObject,
  publicKey: KeyObject,
  identity: Identity,
  leaf: LeafOptions,
): CertificateExtension[] {
  const type = identity.subjectType ?? (identity.subject.includes('://') ? 'uri' : 'email')
  const claims = { 1: identity.issuer, 8: identity.issuer, ...identity.claims }
  return [
    ...leafExtensions(issuer, publicKey, leaf.extendedKeyUsages ?? [EXTENDED_KEY_USAGE.codeSigning]),
    subjectAlternativeNames([{ type, value: identity.subject }, ...(leaf.extraNames ?? [])]),
    ...Object.entries(claims).map(([number, value]) => claimExtension(Number(number), value)),
    ...(leaf.extraExtensions ?? []),
  ]
}

/** Extensions 1 to 6 hold raw text, the later ones a DER UTF8String (fulcio docs/oid-info.md). */
function claimExtension(number: number, value: string): CertificateExtension {
  return { oid: `${FULCIO_ARC}.${number}`, value: number <= 6 ? Buffer.from(value) : utf8String(value) }
}

/** RFC 6962 3.2 and 3.3: one SCT over the certificate without it, in a TLS-encoded list. */
function signedTimestamps(
  log: KeyPair,
  issuer: KeyObject,
  preCertificate: Buffer,
  time: Date,
): CertificateExtension {
  const timestamp = Buffer.alloc(8)
  timestamp.writeBigUInt64BE(BigInt(time.getTime()))
  const noExtensions = Buffer.of(0, 0)
  const signed = Buffer.concat([
    Buffer.of(0, 0), // v1, certificate_timestamp
    timestamp,
    Buffer.of(0, 1), // precert_entry
    sha256(publicKeyDer(issuer)),
    unsigned(preCertificate.length, 3),
    preCertificate,
    noExtensions,
  ])
  const signature = sign('sha256', signed, log.privateKey)
  const sct = Buffer.concat([
    Buffer.of(0),
    sha256(publicKeyDer(log.publicKey)),
    timestamp,
    noExtensions,
    Buffer.of(4, 3), // sha256, ecdsa
    unsigned(signature.length, 2),
    signature,
  ])
  const list = Buffer.concat([unsigned(sct.length + 2, 2), unsigned(sct.length, 2), sct])
  return { oid: SCT_LIST, value: octetString(list) }
}

function unsigned(value: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntBE(value, 0, bytes)
  return buffer
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
