import type { ASN1Obj } from '@sigstore/core'
import type { Certificate } from './certificate.ts'
import { EvidenceError } from './evidence-error.ts'
import type { SignerIdentity } from './types.ts'

/** X.509 extensions (RFC 5280 section 4.2), as far as they say who signs and what for. All throw EvidenceError `certificate`. */

const KEY_USAGE = '2.5.29.15'
const SUBJECT_ALT_NAME = '2.5.29.17'
const BASIC_CONSTRAINTS = '2.5.29.19'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'
const ANY_PURPOSE = '2.5.29.37.0'

/** Critical extensions whose meaning is enforced here or by the chain check; RFC 5280 section 4.2 forbids any other. */
const ENFORCED: ReadonlySet<string> = new Set([
  KEY_USAGE,
  SUBJECT_ALT_NAME,
  BASIC_CONSTRAINTS,
  EXTENDED_KEY_USAGE,
])

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** extnValue by OID. */
export type Extensions = ReadonlyMap<string, ASN1Obj>

export function refuse(message: string): EvidenceError {
  return new EvidenceError('certificate', message)
}

function isCritical(extension: ASN1Obj): boolean {
  return extension.subs.length === 3 && extension.subs[1]?.toBoolean() === true
}

/** RFC 5280 section 4.2: at most one instance of each, and no critical one that nobody here enforces. */
export function extensionsOf(certificate: Certificate): Extensions {
  const found = new Map<string, ASN1Obj>()
  for (const extension of certificate.extensions) {
    const oid = extension.subs[0]?.toOID()
    const value = extension.subs.at(-1)
    if (oid === undefined || value === undefined) throw refuse('malformed certificate extension')
    if (found.has(oid)) throw refuse(`certificate repeats extension ${oid}`)
    if (isCritical(extension) && !ENFORCED.has(oid))
      throw refuse(`certificate has unknown critical extension ${oid}`)
    found.set(oid, value)
  }
  return found
}

/** Critical extensions of an authority that nothing here enforces: a trust root with such a certificate is refused. */
export function unenforcedCriticalExtensions(certificate: Certificate): readonly string[] {
  return certificate.extensions
    .filter(isCritical)
    .map((extension) => extension.subs[0]?.toOID() ?? 'unknown')
    .filter((oid) => !ENFORCED.has(oid))
}

/** The one value inside an OCTET STRING. */
function only(value: ASN1Obj | undefined, what: string): ASN1Obj {
  const [inner] = value?.subs ?? []
  if (inner === undefined || value?.subs.length !== 1) throw refuse(`certificate has a malformed ${what}`)
  return inner
}

export function decodeText(bytes: Uint8Array, what: string): string {
  try {
    return strictUtf8.decode(bytes)
  } catch (cause) {
    throw new EvidenceError('certificate', `certificate has a malformed ${what}`, { cause })
  }
}

/** Undefined where the certificate does not say, and so does not limit, what it is for. */
function purposesOf(extensions: Extensions): readonly string[] | undefined {
  const value = extensions.get(EXTENDED_KEY_USAGE)
  if (value === undefined) return undefined
  return only(value, 'extended key usage').subs.map((purpose) => purpose.toOID())
}

export function assertCodeSigning(certificate: Certificate, extensions: Extensions): void {
  if (purposesOf(extensions)?.includes(CODE_SIGNING) !== true)
    throw refuse('certificate is not for code signing')
  if (certificate.extBasicConstraints?.isCA === true)
    throw refuse('certificate is an authority, not a signer')
  if (certificate.extKeyUsage?.digitalSignature === false)
    throw refuse('certificate is not for digital signatures')
}

/** RFC 5280 gives the purposes of an authority no meaning; all who limit them mean what is issued below, as here. */
export function allowsCodeSigningBelow(extensions: Extensions): boolean {
  const purposes = purposesOf(extensions)
  return purposes === undefined || purposes.includes(CODE_SIGNING) || purposes.includes(ANY_PURPOSE)
}

const NAME_TYPES: Readonly<Record<number, SignerIdentity['subjectType']>> = { 1: 'email', 2: 'dns', 6: 'uri' }
const ALTERNATIVE_NAME = 'subject alternative name'

/** The only name. With two, which one a policy means would be the signer's choice. */
export function onlyNameOf(extensions: Extensions): ASN1Obj {
  const value = extensions.get(SUBJECT_ALT_NAME)
  if (value === undefined) throw refuse(`certificate has no ${ALTERNATIVE_NAME}, expected one`)
  const names = only(value, ALTERNATIVE_NAME).subs
  const [name] = names
  if (name === undefined || names.length !== 1) {
    throw refuse(`certificate has ${names.length} subject alternative names, expected one`)
  }
  return name
}

export type Subject = Pick<SignerIdentity, 'subject' | 'subjectType'>

/** What the name says; undefined where it is neither URI, e-mail address nor DNS name. */
export function subjectIn(name: ASN1Obj): Subject | undefined {
  const subjectType = name.tag.isContextSpecific() ? NAME_TYPES[name.tag.number] : undefined
  return subjectType === undefined ? undefined : { subject: nameText(name), subjectType }
}

export function nameText({ value }: ASN1Obj): string {
  const text = decodeText(value, ALTERNATIVE_NAME)
  if (text === '') throw refuse(`certificate has an empty ${ALTERNATIVE_NAME}`)
  return text
}

export function unknownName(): EvidenceError {
  return refuse(`certificate has a ${ALTERNATIVE_NAME} of an unknown type`)
}
