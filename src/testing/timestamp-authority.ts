import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import {
  authorityExtensions,
  distinguishedName,
  EXTENDED_KEY_USAGE,
  issueCertificate,
  leafExtensions,
  randomSerial,
  signatureScheme,
} from './certificate.ts'
import {
  element,
  explicit,
  generalizedTime,
  integer,
  nothing,
  octetString,
  oid,
  sequence,
  setOf,
} from './der.ts'

export type TimestampRequest = {
  readonly hash: 'sha256' | 'sha384' | 'sha512'
  readonly imprint: Uint8Array
  /** Big-endian, as the client sent it. */
  readonly nonce?: Uint8Array
  /** Default true: embed the signing certificate. */
  readonly certificate?: boolean
}

/** An RFC 3161 authority: a P-256 leaf under its own root. */
export type TimestampAuthority = {
  /** DER, signing certificate first. */
  readonly chain: readonly Buffer[]
  /** A whole TimeStampResp for `time`, whole seconds: what a Sigstore bundle carries. */
  respond(request: TimestampRequest, time: Date): Buffer
}

const OID = {
  signedData: '1.2.840.113549.1.7.2',
  tstInfo: '1.2.840.113549.1.9.16.1.4',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
  policy: '1.3.6.1.4.1.57264.2',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const

export function createTimestampAuthority(validFor: { start: Date; end: Date }): TimestampAuthority {
  const root = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const leaf = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const rootName = distinguishedName('sigstore.test', 'tsa')
  const issuer = { name: rootName, keyPair: root }
  const rootCertificate = issueCertificate({
    issuer,
    subject: rootName,
    publicKey: root.publicKey,
    validFor,
    extensions: authorityExtensions(root.publicKey, root.publicKey),
  })
  // RFC 3161 2.3: the usage must be critical and the only one.
  const usages = [EXTENDED_KEY_USAGE.timeStamping]
  const serial = randomSerial()
  const certificate = issueCertificate({
    issuer,
    serial,
    subject: distinguishedName('sigstore.test', 'tsa signing'),
    publicKey: leaf.publicKey,
    validFor,
    extensions: leafExtensions(root.publicKey, leaf.publicKey, usages, true),
  })
  const signer = { certificate, name: sequence(rootName, serial), key: leaf.privateKey }
  return {
    chain: [certificate, rootCertificate],
    respond: (request, time) =>
      sequence(
        sequence(integer(0)),
        sequence(
          oid(OID.signedData),
          explicit(0, signedData(signer, tstInfo(request, time), request.certificate)),
        ),
      ),
  }
}

function tstInfo(request: TimestampRequest, time: Date): Buffer {
  return sequence(
    integer(1),
    oid(OID.policy),
    sequence(sequence(oid(OID[request.hash]), nothing()), octetString(request.imprint)),
    integer(randomBytes(16)),
    generalizedTime(time),
    sequence(integer(1)), // accuracy in seconds
    ...(request.nonce === undefined ? [] : [integer(request.nonce)]),
  )
}

type TokenSigner = {
  readonly certificate: Buffer
  /** IssuerAndSerialNumber. */
  readonly name: Buffer
  readonly key: Parameters<typeof signatureScheme>[0]
}

/** RFC 5652 5.1; the signature covers the attributes under the tag of a SET, not the one they are sent with. */
function signedData(signer: TokenSigner, content: Buffer, certificate = true): Buffer {
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest()
  const attribute = (type: string, value: Buffer) => sequence(oid(type), setOf(value))
  const attributes = setOf(
    attribute(OID.contentType, oid(OID.tstInfo)),
    attribute(OID.messageDigest, octetString(digest(content))),
    attribute(
      OID.signingCertificateV2,
      sequence(sequence(sequence(octetString(digest(signer.certificate))))),
    ),
  )
  const asSent = Buffer.from(attributes)
  asSent[0] = 0xa0
  const sha256 = sequence(oid(OID.sha256))
  return sequence(
    integer(3),
    setOf(sha256),
    sequence(oid(OID.tstInfo), explicit(0, octetString(content))),
    ...(certificate ? [element(0xa0, signer.certificate)] : []),
    setOf(
      sequence(
        integer(1),
        signer.name,
        sha256,
        asSent,
        signatureScheme(signer.key).algorithm,
        octetString(sign('sha256', attributes, signer.key)),
      ),
    ),
  )
}
