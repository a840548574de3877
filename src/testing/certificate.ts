import { createHash, randomBytes, sign, type KeyObject } from 'node:crypto'
import {
  bitString,
  boolean,
  element,
  explicit,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
  utcTime,
  utf8String,
} from './der.ts'

export type KeyPair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject }

/** One X.509 extension; `value` is the DER (or, for Fulcio's oldest, raw text) inside the octet string. */
export type CertificateExtension = {
  readonly oid: string
  readonly critical?: boolean
  readonly value: Uint8Array
}

/** One subject alternative name; `username` is Fulcio's otherName 1.3.6.1.4.1.57264.1.7. */
export type SubjectName = {
  readonly type: 'uri' | 'email' | 'dns' | 'username'
  readonly value: string
}

type Issuer = { readonly name: Uint8Array; readonly keyPair: KeyPair }

export type CertificateRequest = {
  readonly issuer: Issuer
  readonly subject: Uint8Array
  /** A DER integer; default random. */
  readonly serial?: Uint8Array
  readonly publicKey: KeyObject
  readonly validFor: { readonly start: Date; readonly end: Date }
  readonly extensions: readonly CertificateExtension[]
  /** Called with the certificate as it would be without its SCT list; gives that extension (RFC 6962 3.2). */
  readonly countersign?: (preCertificate: Buffer) => CertificateExtension
}

export const EXTENDED_KEY_USAGE = {
  codeSigning: '1.3.6.1.5.5.7.3.3',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

const ECDSA_WITH = { sha256: '1.2.840.10045.4.3.2', sha384: '1.2.840.10045.4.3.3' } as const
const FULCIO_USERNAME = '1.3.6.1.4.1.57264.1.7'

export function publicKeyDer(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' })
}

export function toPem(der: Uint8Array, label = 'CERTIFICATE'): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

export function fromPem(pem: string): Buffer<ArrayBuffer> {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
}

/** A name of organization and common name; the empty name of Fulcio's leaves is `sequence()`. */
export function distinguishedName(organization: string, commonName: string): Buffer {
  const part = (type: string, value: string) => setOf(sequence(oid(type), utf8String(value)))
  return sequence(part('2.5.4.10', organization), part('2.5.4.3', commonName))
}

/** The hash that goes with the key's curve, as Fulcio and the timestamp authority sign. */
export function signatureScheme(key: KeyObject): { hash: 'sha256' | 'sha384'; algorithm: Buffer } {
  const hash = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256'
  return { hash, algorithm: sequence(oid(ECDSA_WITH[hash])) }
}

/** A random serial number as a DER integer. */
export function randomSerial(): Buffer {
  return integer(Buffer.concat([Buffer.of(0x40), randomBytes(15)]))
}

/** A signed certificate as DER. */
export function issueCertificate(request: CertificateRequest): Buffer {
  const serial = request.serial ?? randomSerial()
  const signer = request.issuer.keyPair.privateKey
  const scheme = signatureScheme(signer)
  const toBeSigned = (extensions: readonly CertificateExtension[]) =>
    sequence(
      explicit(0, integer(2)),
      serial,
      scheme.algorithm,
      request.issuer.name,
      sequence(utcTime(request.validFor.start), utcTime(request.validFor.end)),
      request.subject,
      publicKeyDer(request.publicKey),
      explicit(3, sequence(...extensions.map(encodeExtension))),
    )
  const bare = toBeSigned(request.extensions)
  const final =
    request.countersign === undefined ? bare : toBeSigned([...request.extensions, request.countersign(bare)])
  return sequence(final, scheme.algorithm, bitString(sign(scheme.hash, final, signer)))
}

function encodeExtension(extension: CertificateExtension): Buffer {
  const critical = extension.critical === true ? [boolean(true)] : []
  return sequence(oid(extension.oid), ...critical, octetString(extension.value))
}

export function authorityExtensions(issuer: KeyObject, subject: KeyObject): CertificateExtension[] {
  return [
    { oid: '2.5.29.19', critical: true, value: sequence(boolean(true)) },
    { oid: '2.5.29.15', critical: true, value: bitString(Buffer.of(0x06), 1) }, // keyCertSign, cRLSign
    ...keyIdentifiers(issuer, subject),
  ]
}

/** Extensions of an end entity that signs: digitalSignature and the usages given (none: no EKU at all). */
export function leafExtensions(
  issuer: KeyObject,
  subject: KeyObject,
  usages: readonly string[],
  usageCritical = false,
): CertificateExtension[] {
  const usage = { oid: '2.5.29.37', critical: usageCritical, value: sequence(...usages.map(oid)) }
  return [
    { oid: '2.5.29.15', critical: true, value: bitString(Buffer.of(0x80), 7) },
    ...(usages.length === 0 ? [] : [usage]),
    ...keyIdentifiers(issuer, subject),
  ]
}

function keyIdentifiers(issuer: KeyObject, subject: KeyObject): CertificateExtension[] {
  const identifier = (key: KeyObject) => createHash('sha1').update(publicKeyDer(key)).digest()
  return [
    { oid: '2.5.29.14', value: octetString(identifier(subject)) },
    { oid: '2.5.29.35', value: sequence(implicit(0, identifier(issuer))) },
  ]
}

/** Critical, because the subject is empty (RFC 5280 4.2.1.6). */
export function subjectAlternativeNames(names: readonly SubjectName[]): CertificateExtension {
  return { oid: '2.5.29.17', critical: true, value: sequence(...names.map(encodeName)) }
}

function encodeName({ type, value }: SubjectName): Buffer {
  switch (type) {
    case 'email':
      return implicit(1, Buffer.from(value))
    case 'dns':
      return implicit(2, Buffer.from(value))
    case 'uri':
      return implicit(6, Buffer.from(value))
    case 'username':
      return element(0xa0, oid(FULCIO_USERNAME), explicit(0, utf8String(value)))
  }
}
