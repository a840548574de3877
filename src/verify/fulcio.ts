import type { Certificate } from './certificate.ts'
import { EvidenceError, quote } from './evidence-error.ts'
import {
  assertCodeSigning,
  decodeText,
  extensionsOf,
  nameText,
  onlyNameOf,
  refuse,
  subjectIn,
  unknownName,
  type Extensions,
  type Subject,
} from './extensions.ts'
import { FULCIO_EXTENSIONS, type FulcioExtension, type SignerIdentity } from './types.ts'

const FULCIO_ARC = '1.3.6.1.4.1.57264.1.'
const USERNAME_OID = `${FULCIO_ARC}7`

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

function subjectOf(extensions: Extensions): Subject {
  const name = onlyNameOf(extensions)
  const plain = subjectIn(name)
  if (plain !== undefined) return plain
  const [oid, wrapped] = name.subs
  const username = wrapped?.subs[0]
  if (!name.tag.isContextSpecific(0) || oid?.toOID() !== USERNAME_OID || username === undefined) {
    throw unknownName()
  }
  return { subject: nameText(username), subjectType: 'username' }
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
  if (issuer !== undefined && issuer !== '') return issuer
  // Not Fulcio's at all: where a PKI vouches for it too, that one knows better what is wrong.
  throw new EvidenceError('certificate', 'certificate names no issuer', { foreign: true })
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
