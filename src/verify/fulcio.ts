import type { ASN1Obj } from '@sigstore/core'
import type { Certificate } from './certificate.ts'
import { EvidenceError, quote } from './evidence-error.ts'
import { FULCIO_EXTENSIONS, type FulcioExtension, type SignerIdentity } from './types.ts'

const FULCIO_ARC = '1.3.6.1.4.1.57264.1.'
const USERNAME_OID = `${FULCIO_ARC}7`
const KEY_USAGE = '2.5.29.15'
const SUBJECT_ALT_NAME = '2.5.29.17'
const BASIC_CONSTRAINTS = '2.5.29.19'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'

/** Critical extensions whose meaning is enforced here or by the chain check; RFC 5280 section 4.2 forbids any other. */
const ENFORCED: ReadonlySet<string> = new Set([
  KEY_USAGE,
  SUBJECT_ALT_NAME,
  BASIC_CONSTRAINTS,
  EXTENDED_KEY_USAGE,
])

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

type Extensions = ReadonlyMap<string, ASN1Obj>

function refuse(message: string): EvidenceError {
  return new EvidenceError('certificate', message)
}

/** extnValue by OID; RFC 5280 section 4.2: at most one instance of each. */
function extensionsOf(certificate: Certificate): Extensions {
  const found = new Map<string, ASN1Obj>()
  for (const extension of certificate.extensions) {
    const oid = extension.subs[0]?.toOID()
    const value = extension.subs.at(-1)
    if (oid === undefined || value === undefined) throw refuse('malformed certificate extension')
    if (found.has(oid)) throw refuse(`certificate repeats extension ${oid}`)
    const critical = extension.subs.length === 3 && extension.subs[1]?.toBoolean() === true
    if (critical && !ENFORCED.has(oid)) throw refuse(`certificate has unknown critical extension ${oid}`)
    found.set(oid, value)
  }
  return found
}

/** The one value inside an OCTET STRING. */
function only(value: ASN1Obj | undefined, what: string): ASN1Obj {
  const [inner] = value?.subs ?? []
  if (inner === undefined || value?.subs.length !== 1) throw refuse(`certificate has a malformed ${what}`)
  return inner
}

function decodeText(bytes: Uint8Array, what: string): string {
  try {
    return strictUtf8.decode(bytes)
  } catch (cause) {
    throw new EvidenceError('certificate', `certificate has a malformed ${what}`, { cause })
  }
}

/** X.690: exactly one UTF8String with nothing behind it. */
function decodeUtf8String(bytes: Uint8Array, what: string): string {
  const [tag, first = 0x80] = bytes
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  const start = 2 + lengthBytes
  const length =
    lengthBytes === 0 ? first : bytes.subarray(2, start).reduce((sum, byte) => sum * 256 + byte, 0)
  if (tag !== 0x0c || first === 0x80 || lengthBytes > 3 || start + length !== bytes.length) {
    throw refuse(`certificate has a malformed ${what}`)
  }
  return decodeText(bytes.subarray(start), what)
}

function assertCodeSigning(certificate: Certificate, extensions: Extensions): void {
  const value = extensions.get(EXTENDED_KEY_USAGE)
  const purposes =
    value === undefined ? [] : only(value, 'extended key usage').subs.map((purpose) => purpose.toOID())
  if (!purposes.includes(CODE_SIGNING)) throw refuse('certificate is not for code signing')
  if (certificate.extBasicConstraints?.isCA === true)
    throw refuse('certificate is an authority, not a signer')
  if (certificate.extKeyUsage?.digitalSignature === false)
    throw refuse('certificate is not for digital signatures')
}

const NAME_TYPES: Readonly<Record<number, SignerIdentity['subjectType']>> = { 1: 'email', 2: 'dns', 6: 'uri' }

/** The only name. With two, which one a policy means would be the signer's choice. */
function subjectOf(extensions: Extensions): Pick<SignerIdentity, 'subject' | 'subjectType'> {
  const what = 'subject alternative name'
  const names = only(extensions.get(SUBJECT_ALT_NAME), what).subs
  const [name] = names
  if (name === undefined || names.length !== 1) {
    throw refuse(`certificate has ${names.length} subject alternative names, expected one`)
  }
  const subjectType = name.tag.isContextSpecific() ? NAME_TYPES[name.tag.number] : undefined
  if (subjectType !== undefined) return { subject: nonEmpty(decodeText(name.value, what), what), subjectType }
  const [oid, wrapped] = name.subs
  const username = wrapped?.subs[0]
  if (!name.tag.isContextSpecific(0) || oid?.toOID() !== USERNAME_OID || username === undefined) {
    throw refuse('certificate has a subject alternative name of an unknown type')
  }
  return { subject: nonEmpty(decodeText(username.value, what), what), subjectType: 'username' }
}

function nonEmpty(text: string, what: string): string {
  if (text === '') throw refuse(`certificate has an empty ${what}`)
  return text
}

/** Extension 8, or 1 where it is absent (fulcio docs/oid-info.md). Two different issuers name nobody. */
function issuerOf(extensions: Extensions): string {
  const older = extensions.get(`${FULCIO_ARC}1`)
  const newer = extensions.get(`${FULCIO_ARC}8`)
  const olderText = older === undefined ? undefined : decodeText(older.value, 'issuer extension')
  const newerText = newer === undefined ? undefined : decodeUtf8String(newer.value, 'issuer extension')
  if (olderText !== undefined && newerText !== undefined && olderText !== newerText) {
    throw refuse(`certificate names two issuers, ${quote(newerText)} and ${quote(olderText)}`)
  }
  const issuer = newerText ?? olderText
  if (issuer === undefined || issuer === '') throw refuse('certificate names no issuer')
  return issuer
}

/** Extensions 2 to 6 hold the text itself, later ones a DER UTF8String (fulcio docs/oid-info.md). */
const RAW_TEXT_EXTENSION_LAST = 6

const CLAIMS = Object.entries(FULCIO_EXTENSIONS).map(([number, name]) => ({
  oid: `${FULCIO_ARC}${number}`,
  name,
  decode: Number(number) <= RAW_TEXT_EXTENSION_LAST ? decodeText : decodeUtf8String,
}))

function claimsOf(extensions: Extensions): SignerIdentity['extensions'] {
  const claims: Partial<Record<FulcioExtension, string>> = {}
  for (const { oid, name, decode } of CLAIMS) {
    const value = extensions.get(oid)
    if (value !== undefined) claims[name] = decode(value.value, `${name} extension`)
  }
  return claims
}

/**
 * Who the certificate says signed, and that it was issued for signing code. Reads, does not authenticate: the chain is
 * verified by the caller. Throws EvidenceError `certificate`.
 */
export function identityOf(certificate: Certificate): SignerIdentity {
  const extensions = extensionsOf(certificate)
  assertCodeSigning(certificate, extensions)
  return { ...subjectOf(extensions), issuer: issuerOf(extensions), extensions: claimsOf(extensions) }
}

/** Critical extensions of an authority that nothing here enforces: a trust root with such a certificate is refused. */
export function unenforcedCriticalExtensions(certificate: Certificate): readonly string[] {
  return certificate.extensions
    .filter((extension) => extension.subs.length === 3 && extension.subs[1]?.toBoolean() === true)
    .map((extension) => extension.subs[0]?.toOID() ?? 'unknown')
    .filter((oid) => !ENFORCED.has(oid))
}
