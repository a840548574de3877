import { whyNotHad } from '../upstream/outage.ts'
import { UpstreamError } from '../upstream/types.ts'
import type { Candidate, EvidenceFailure, EvidenceSource } from '../verify/types.ts'
import { WorkError } from '../work/work-error.ts'
import type { Discovery, DiscoveryFailure } from './types.ts'

/** What discovery has come to so far; the lists only grow. */
export type Findings = {
  readonly candidates: Candidate[]
  readonly rejected: EvidenceFailure[]
  readonly failures: DiscoveryFailure[]
}

/** A list of rubbish is as long as its author likes, and nobody reads beyond the first few. */
const REJECTED_MAX = 200

export function noFindings(): Findings {
  return { candidates: [], rejected: [], failures: [] }
}

export function toDiscovery({ candidates, rejected, failures }: Findings): Discovery {
  return { candidates, rejected, failures }
}

/** Evidence that is there and cannot be used. `blob` repeats the manifest where there is none to name. */
export function reject(findings: Findings, source: EvidenceSource, message: string): void {
  if (findings.rejected.length >= REJECTED_MAX) return
  findings.rejected.push({ source, code: 'malformed', message })
}

/** Something that is there and was not looked at: what could be in it keeps a verdict from resting on its absence. */
export function unread(findings: Findings, what: DiscoveryFailure['what'], message: string): void {
  findings.failures.push({ what, because: 'unread', message })
}

/**
 * Sorts an error of the registry client: an answer that breaks the protocol is a fact about bytes, everything else a
 * fact about the world, as is work that did not finish. An error of any other kind is a fault of this program and goes on.
 */
export function recordError(
  findings: Findings,
  error: unknown,
  place: { readonly what: DiscoveryFailure['what']; readonly source: EvidenceSource },
): void {
  if (!(error instanceof UpstreamError) && !(error instanceof WorkError)) throw error
  if (error.code === 'invalid') reject(findings, place.source, error.message)
  else {
    const because = error instanceof UpstreamError ? whyNotHad(error) : 'unread'
    findings.failures.push({ what: place.what, because, message: error.message })
  }
}
