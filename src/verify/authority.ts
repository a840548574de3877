import type { Certificate } from './certificate.ts'
import { EvidenceError } from './evidence-error.ts'
import { allowsCodeSigningBelow, extensionsOf } from './extensions.ts'
import { isAcceptedKey } from './public-key.ts'

/** RFC 5280 section 4.2.1.10 wants it critical and enforced either way; here it is not. */
const NAME_CONSTRAINTS = '2.5.29.30'

/**
 * Why nothing that this authority issued may be believed, whoever issued the authority itself: one clause. Undefined
 * where it may. Of a certificate that is not readable, throws whatever reading it throws.
 */
export function authorityProblem(certificate: Certificate): string | undefined {
  if (!certificate.isCA) return 'is no certificate authority (basic constraints, key usage)'
  if (certificate.subjectName === '') return 'has no name'
  if (!isAcceptedKey(certificate.keyObject)) return 'has a key of a type or size that is not accepted'
  try {
    const extensions = extensionsOf(certificate)
    if (extensions.has(NAME_CONSTRAINTS)) return 'has name constraints, which are not enforced here'
    return allowsCodeSigningBelow(extensions) ? undefined : 'is not for code signing (extended key usage)'
  } catch (error) {
    if (error instanceof EvidenceError) return `cannot be used: ${error.message}`
    throw error
  }
}
