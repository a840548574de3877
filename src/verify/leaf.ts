import { Certificate } from './certificate.ts'
import { EvidenceError } from './evidence-error.ts'
import type { Evidence } from './evidence.ts'

/** What came with a signature: the certificate of whoever signed, and those that are said to have issued it. */
export type Presented = { readonly leaf: Certificate; readonly others: readonly Certificate[] }

function parseCertificate(der: Buffer): Certificate {
  try {
    return Certificate.parse(der)
  } catch (cause) {
    throw new EvidenceError('malformed', 'unreadable certificate', { cause })
  }
}

/** Throws EvidenceError `malformed`. */
export function parseCertificates(certificates: readonly Buffer[]): Presented {
  const [leaf, ...others] = certificates.map(parseCertificate)
  if (leaf === undefined) throw new EvidenceError('malformed', 'empty certificate chain')
  return { leaf, others }
}

/** Sigstore bundle spec, v0.3: a root that travels with what it vouches for vouches for nothing. */
export function assertSigstores({ leaf, others }: Presented, { hasStrayChain }: Evidence): void {
  if (hasStrayChain === true) {
    throw new EvidenceError('malformed', 'not a Sigstore bundle: invalid bundle (certificate chain in v0.3)')
  }
  if (![leaf, ...others].some(isSelfIssued)) return
  // A PKI passes over it: where one vouches for the rest, that one knows better what is wrong.
  throw new EvidenceError('certificate', 'bundle contains a self-signed certificate', { foreign: true })
}

export function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return subject.equals(issuer)
}

/** The leaf of a certificate by Fulcio. Throws EvidenceError. */
export function leafOf(evidence: Evidence): Certificate {
  const presented = parseCertificates(evidence.certificates ?? [])
  assertSigstores(presented, evidence)
  return presented.leaf
}
