import { readBundle } from './bundle.ts'
import { readEnvelopeLayer, readSimpleSigning } from './cosign-layer.ts'
import { EvidenceError } from './evidence-error.ts'
import type { Evidence } from './evidence.ts'
import { readLogEntry } from './log-entry-json.ts'
import { CERTIFICATE_BYTES_MAX, LOOKED_UP_ENTRIES_MAX, TIMESTAMP_BYTES_MAX } from './limits.ts'
import type { Candidate } from './types.ts'

function readForm(candidate: Candidate): Evidence {
  switch (candidate.form) {
    case 'bundle':
      return readBundle(candidate.bytes)
    case 'simple-signing':
      return readSimpleSigning(candidate.bytes, candidate.annotations)
    case 'dsse':
      return readEnvelopeLayer(candidate.bytes, candidate.annotations)
  }
}

/**
 * A copy counts for nothing and costs as much as the original, so it is looked for before any cryptography. Other
 * clients refuse such bundles too.
 */
function assertDistinct(items: readonly Buffer[], what: string): void {
  if (items.length < 2) return
  const seen = new Set(items.map((item) => item.toString('base64')))
  if (seen.size !== items.length) throw new EvidenceError('malformed', `duplicate ${what}`)
}

function assertSizes(items: readonly Buffer[], max: number, what: string): void {
  if (items.some((item) => item.length > max)) {
    throw new EvidenceError('malformed', `${what} of more than ${max} bytes`)
  }
}

type Entries = Evidence['entries']

function nameOf({ logId, canonicalizedBody }: Entries[number]): Buffer {
  return Buffer.concat([logId.keyId, canonicalizedBody])
}

/** What came with the candidate counts first; a copy of it that was looked up as well is none the worse. */
function withLookedUp(own: Entries, logEntries: readonly string[]): Entries {
  const entries = [...own]
  for (const json of logEntries.slice(0, LOOKED_UP_ENTRIES_MAX)) {
    const { entry } = readLogEntry(json)
    if (!entries.some((other) => nameOf(other).equals(nameOf(entry)))) entries.push(entry)
  }
  return entries
}

/** Reads a candidate of any form. Throws EvidenceError; parses JSON, but neither ASN.1 nor signatures. */
export function readEvidence(candidate: Candidate): Evidence {
  const evidence = readOwn(candidate)
  const { logEntries = [] } = candidate
  return logEntries.length === 0
    ? evidence
    : { ...evidence, entries: withLookedUp(evidence.entries, logEntries) }
}

function readOwn(candidate: Candidate): Evidence {
  const evidence = readForm(candidate)
  assertSizes(evidence.certificates ?? [], CERTIFICATE_BYTES_MAX, 'certificate')
  assertSizes(evidence.timestamps, TIMESTAMP_BYTES_MAX, 'timestamp')
  assertDistinct(evidence.timestamps, 'timestamp')
  assertDistinct(evidence.entries.map(nameOf), 'log entry')
  return evidence
}
