import { Certificate } from './certificate.ts'
import { EvidenceError } from './evidence-error.ts'

function parseCertificate(der: Buffer): Certificate {
  try {
    return Certificate.parse(der)
  } catch (cause) {
    throw new EvidenceError('malformed', 'unreadable certificate', { cause })
  }
}

/** The leaf. A root that travels with what it vouches for vouches for nothing: sigstore bundle spec, v0.3. */
export function leafOf(certificates: readonly Buffer[]): Certificate {
  const [leaf, ...others] = certificates.map(parseCertificate)
  if (leaf === undefined) throw new EvidenceError('malformed', 'empty certificate chain')
  if ([leaf, ...others].some((certificate) => certificate.subject.equals(certificate.issuer))) {
    throw new EvidenceError('certificate', 'bundle contains a self-signed certificate')
  }
  return leaf
}
