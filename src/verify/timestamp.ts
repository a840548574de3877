import { RFC3161Timestamp } from '@sigstore/core'
import { parseDer } from './asn1.ts'
import { EvidenceError } from './evidence-error.ts'

/** X.690 section 11.7: DER writes a fraction without trailing zeros, so any number of digits is right. */
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,9}))?Z$/

function parseGeneralizedTime(text: string): Date | undefined {
  const match = GENERALIZED_TIME.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction = ''] = match
  const milliseconds = fraction.slice(0, 3).padEnd(3, '0')
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${milliseconds}Z`)
  return Number.isNaN(time.getTime()) ? undefined : time
}

/** @sigstore/core reads fractions of exactly three digits only, and drops them. */
export class Timestamp extends RFC3161Timestamp {
  override get signingTime(): Date {
    const genTime = this.tstInfo.root.subs[4]
    const time =
      genTime?.tag.isGeneralizedTime() === true
        ? parseGeneralizedTime(genTime.value.toString('latin1'))
        : undefined
    if (time === undefined) throw new EvidenceError('malformed', 'timestamp without a readable time')
    return time
  }
}

/** Reads an RFC 3161 response. Nothing in it is verified; that it names a signer and a time is checked. */
export function parseTimestamp(der: Buffer): Timestamp {
  try {
    const timestamp = new Timestamp(parseDer(der))
    if (timestamp.signerIssuer.length === 0 || timestamp.signerSerialNumber.length === 0) {
      throw new EvidenceError('malformed', 'timestamp without a signer')
    }
    void timestamp.signingTime
    return timestamp
  } catch (cause) {
    if (cause instanceof EvidenceError) throw cause
    throw new EvidenceError('malformed', 'unreadable RFC 3161 timestamp', { cause })
  }
}
