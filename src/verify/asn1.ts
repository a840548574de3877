import { ASN1Obj } from '@sigstore/core'

/**
 * Parses DER. The parser tries every OCTET STRING as ASN.1, so that the text in each of Fulcio's extensions costs an
 * exception, whose stack trace took half of the time of a verification and which nobody sees.
 */
export function parseDer(der: Uint8Array): ASN1Obj {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return ASN1Obj.parseBuffer(Buffer.from(der))
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
