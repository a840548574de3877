import type { X509Certificate } from 'node:crypto'

/** What a verified client certificate says, in the words of a configuration. */
export type ClientCertificate = { readonly identities: ReadonlySet<string> }

const NAME = /^(DNS|URI|email):(\S+)$/
const FINGERPRINT = /^sha256:[0-9a-f]{64}$/

/** One form for one meaning, or undefined where it is neither a subject alternative name nor a fingerprint. */
export function parseIdentity(text: string): string | undefined {
  if (FINGERPRINT.test(text)) return text
  const [, type, value] = NAME.exec(text) ?? []
  if (type === undefined || value === undefined) return undefined
  return type === 'DNS' ? `DNS:${value.toLowerCase()}` : text
}

/** Of a certificate that the listener has verified. The subject's common name is no identity (RFC 9525 section 2). */
export function identitiesOf(
  certificate: Pick<X509Certificate, 'fingerprint256' | 'subjectAltName'>,
): ClientCertificate {
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  return { identities: new Set([`sha256:${fingerprint}`, ...namesIn(certificate.subjectAltName)]) }
}

/**
 * node:crypto quotes a name that could be taken for several (CVE-2021-44532). Nobody configures one that must be quoted,
 * so a certificate with any is known by its fingerprint alone.
 */
function namesIn(subjectAltName: string | undefined): readonly string[] {
  if (subjectAltName === undefined || subjectAltName.includes('"')) return []
  return subjectAltName.split(', ').flatMap((name) => parseIdentity(name) ?? [])
}
