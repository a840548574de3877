import { authorityProblem } from './authority.ts'
import { Certificate } from './certificate.ts'
import { readPemBlocks } from './encoding.ts'
import { isRecord } from './json.ts'
import { isSelfIssued } from './leaf.ts'
import { CERTIFICATE_BYTES_MAX } from './limits.ts'
import { readTrustRoot } from './trust-root.ts'
import type { TrustRoot } from './types.ts'

/** An organisation has a handful; a bundle of all public ones has 150 and must not end here. */
const AUTHORITIES_MAX = 64
const PEM_LENGTH_MAX = AUTHORITIES_MAX * CERTIFICATE_BYTES_MAX * 2

type Problem = { readonly problem: string }

/** Authorities of one's own, each with those above it. */
export type Authority = {
  readonly certificate: Certificate
  /** From itself to a root of the same file. */
  readonly chain: readonly Certificate[]
  readonly isRoot: boolean
}

/**
 * Reads a PEM file of authorities: roots, and intermediates that they issued, in any order. What is in it counts as a
 * whole: `problem` says what nobody should start with, and quotes names of certificates only.
 */
export function readAuthorities(pem: string): readonly Authority[] | Problem {
  if (pem.length > PEM_LENGTH_MAX) return { problem: 'too large' }
  if (pem.includes('PRIVATE KEY-----'))
    return { problem: 'found a PRIVATE key, which must not be here: replace it and publish none of it' }
  const blocks = readPemBlocks(pem)
  if (blocks === undefined || blocks.length === 0)
    return { problem: 'found no PEM certificates, or a damaged one' }
  const other = blocks.find(({ label }) => label !== 'CERTIFICATE')
  if (other !== undefined)
    return { problem: `found a PEM block of type ${other.label}, expected certificates` }
  if (blocks.length > AUTHORITIES_MAX)
    return { problem: `found ${blocks.length} certificates, expected at most ${AUTHORITIES_MAX}` }
  const certificates: Certificate[] = []
  for (const [index, { der }] of blocks.entries()) {
    const certificate = readAuthority(der, index + 1)
    if ('problem' in certificate) return certificate
    if (!certificates.some((one) => one.equals(certificate))) certificates.push(certificate)
  }
  return withChains(certificates)
}

function readAuthority(der: Buffer, number: number): Certificate | Problem {
  try {
    if (der.length > CERTIFICATE_BYTES_MAX) return { problem: `certificate ${number} is too large` }
    const certificate = Certificate.parse(der)
    const problem = authorityProblem(certificate)
    if (problem === undefined) return certificate
    return { problem: `certificate ${number} (${certificate.subjectName}) ${problem}` }
  } catch {
    return { problem: `certificate ${number} is not readable` }
  }
}

function withChains(certificates: readonly Certificate[]): readonly Authority[] | Problem {
  const found = new Map<Certificate, Authority>()
  for (const certificate of certificates.filter((one) => isSelfIssued(one) && one.verify()))
    found.set(certificate, { certificate, chain: [certificate], isRoot: true })
  if (found.size === 0) return { problem: 'found no root (a self-signed certificate), expected at least one' }
  // Level by level, from the roots down: so no chain runs in a circle.
  for (let level = [...found.values()]; level.length > 0;) {
    const next = certificates.flatMap((certificate): Authority[] => {
      const above = found.has(certificate) ? undefined : level.find((one) => isIssuedBy(certificate, one))
      return above === undefined ? [] : [{ certificate, chain: [certificate, ...above.chain], isRoot: false }]
    })
    for (const authority of next) found.set(authority.certificate, authority)
    level = next
  }
  const lost = certificates.find((certificate) => !found.has(certificate))
  if (lost === undefined) return [...found.values()]
  const { subjectName, issuerName } = lost
  return {
    problem: `found ${subjectName} without a chain to a root, expected ${issuerName} in the same file, which issued it`,
  }
}

function isIssuedBy(certificate: Certificate, { certificate: issuer }: Authority): boolean {
  return issuer.subject.equals(certificate.issuer) && certificate.verify(issuer)
}

/**
 * A trust root of kind `pki`: these authorities, with the logs and timestamp authorities of `times`. Its document is a
 * trusted_root.json, which other clients read too. It is being retired where `times` is.
 */
export function pkiRootOf(
  name: string,
  authorities: readonly Authority[],
  times: TrustRoot,
): TrustRoot | Problem {
  const document: unknown = JSON.parse(times.json)
  if (!isRecord(document)) return { problem: `trust root ${times.name}: not a JSON object` }
  const json = JSON.stringify({
    mediaType: document['mediaType'],
    tlogs: document['tlogs'] ?? [],
    certificateAuthorities: authorities.map(authorityJson),
    ctlogs: [],
    timestampAuthorities: document['timestampAuthorities'] ?? [],
  })
  const root = readTrustRoot(name, json, 'pki')
  return 'problem' in root ? root : { ...root, isRetiring: times.isRetiring }
}

/** protobuf-specs sigstore_trustroot.proto, CertificateAuthority. */
function authorityJson({ certificate, chain }: Authority): object {
  const { subjectName, notBefore, notAfter } = certificate
  return {
    subject: { organization: '', commonName: subjectName },
    uri: '',
    certChain: { certificates: chain.map(({ der }) => ({ rawBytes: der.toString('base64') })) },
    validFor: { start: notBefore.toISOString(), end: notAfter.toISOString() },
  }
}
