import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import {
  distinguishedName,
  EXTENDED_KEY_USAGE,
  issueCertificate,
  leafExtensions,
  publicKeyDer,
  subjectAlternativeNames,
  toPem,
  type CertificateExtension,
  type KeyPair,
  type SubjectName,
} from './certificate.ts'
import { bitString, boolean, implicit, integer, octetString, oid, sequence } from './der.ts'
import type { Signer } from './sigstore.ts'

/** A certificate authority of an organisation, with the key that it issues with. */
export type PkiAuthority = {
  readonly name: Buffer
  readonly keyPair: KeyPair
  readonly certificate: Buffer
}

type ValidFor = { readonly start: Date; readonly end: Date }

export type PkiAuthorityOptions = {
  /** Default: itself, as a root. */
  readonly issuer?: Pick<PkiAuthority, 'name' | 'keyPair'>
  /** Default new; that of another certificate of the same authority, for a cross-certificate. */
  readonly keyPair?: KeyPair
  /** Default a year ago, for three. */
  readonly validFor?: ValidFor
  /** Basic constraints: default true. */
  readonly isAuthority?: boolean
  readonly pathLength?: number
  /** Key usage as its first octet; default keyCertSign and cRLSign. */
  readonly keyUsage?: number
  /** Extended key usage; default none at all. */
  readonly purposes?: readonly string[]
  readonly extraExtensions?: readonly CertificateExtension[]
}

export type PkiLeafOptions = {
  /** Default one URI, `PKI_SUBJECT`. */
  readonly names?: readonly SubjectName[]
  /** Default code signing. */
  readonly purposes?: readonly string[]
  readonly validFor?: ValidFor
  readonly extraExtensions?: readonly CertificateExtension[]
  /** Default new. */
  readonly keyPair?: KeyPair
}

/** Signs with one key and one certificate, as long as it is there. */
export type PkiSigner = Signer & { readonly certificate: Buffer }

const ORGANIZATION = 'Acme'
export const PKI_SUBJECT = 'https://ci.acme.test/release'

const YEAR_MS = 365 * 24 * 3600 * 1000

export function newKeyPair(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
}

/** From a year ago, for three years. */
function pkiValidity(now = new Date()): ValidFor {
  return { start: new Date(now.getTime() - YEAR_MS), end: new Date(now.getTime() + 2 * YEAR_MS) }
}

/** Its distinguished name is `CN=<commonName>,O=Acme`. */
export function createPkiAuthority(commonName: string, options: PkiAuthorityOptions = {}): PkiAuthority {
  const { keyPair = newKeyPair(), validFor = pkiValidity() } = options
  const name = distinguishedName(ORGANIZATION, commonName)
  const issuer = options.issuer ?? { name, keyPair }
  const certificate = issueCertificate({
    issuer,
    subject: name,
    publicKey: keyPair.publicKey,
    validFor,
    extensions: extensionsOf(issuer.keyPair.publicKey, keyPair.publicKey, options),
  })
  return { name, keyPair, certificate }
}

function extensionsOf(
  issuer: KeyObject,
  subject: KeyObject,
  {
    isAuthority = true,
    pathLength,
    keyUsage = 0x06,
    purposes = [],
    extraExtensions = [],
  }: PkiAuthorityOptions,
): readonly CertificateExtension[] {
  const constraints = [
    ...(isAuthority ? [boolean(true)] : []),
    ...(pathLength === undefined ? [] : [integer(pathLength)]),
  ]
  const identifier = (key: KeyObject) => createHash('sha1').update(publicKeyDer(key)).digest()
  return [
    { oid: '2.5.29.19', critical: true, value: sequence(...constraints) },
    { oid: '2.5.29.15', critical: true, value: bitString(Buffer.of(keyUsage), 1) },
    { oid: '2.5.29.14', value: octetString(identifier(subject)) },
    { oid: '2.5.29.35', value: sequence(implicit(0, identifier(issuer))) },
    ...(purposes.length === 0 ? [] : [{ oid: '2.5.29.37', value: sequence(...purposes.map(oid)) }]),
    ...extraExtensions,
  ]
}

/** Someone to whom the authority issued a certificate. */
export function createPkiSigner(
  issuer: Pick<PkiAuthority, 'name' | 'keyPair'>,
  options: PkiLeafOptions = {},
): PkiSigner {
  const { privateKey, publicKey } = options.keyPair ?? newKeyPair()
  const names = options.names ?? [{ type: 'uri', value: PKI_SUBJECT }]
  const certificate = issueCertificate({
    issuer,
    subject: distinguishedName(ORGANIZATION, 'release'),
    publicKey,
    validFor: options.validFor ?? pkiValidity(),
    extensions: [
      ...leafExtensions(
        issuer.keyPair.publicKey,
        publicKey,
        options.purposes ?? [EXTENDED_KEY_USAGE.codeSigning],
      ),
      ...(names.length === 0 ? [] : [subjectAlternativeNames(names)]),
      ...(options.extraExtensions ?? []),
    ],
  })
  const pem = toPem(certificate)
  return {
    certificate,
    sign: (data) =>
      Promise.resolve({
        signature: sign('sha256', data, privateKey),
        key: { $case: 'x509Certificate', certificate: pem },
      }),
  }
}

/** The file that configuration names. */
export function pkiPem(authorities: readonly Pick<PkiAuthority, 'certificate'>[]): string {
  return authorities.map(({ certificate }) => toPem(certificate)).join('')
}
