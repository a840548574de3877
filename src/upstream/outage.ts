import type { UpstreamErrorCode } from './types.ts'

/**
 * Why something could not be had of a registry. `unanswered`: an outage, which nobody who pulls or pushes can bring about.
 * `limited`, `late`: there was no time, or no leave to ask; whoever pulls often enough can bring that about. `unread`: an
 * answer, and of no use; whoever pushes can bring that about.
 */
export type NotHad = 'unanswered' | 'limited' | 'late' | 'unread'

const NOT_HAD: Readonly<Record<UpstreamErrorCode, NotHad>> = {
  unavailable: 'unanswered',
  timeout: 'unanswered',
  'rate-limited': 'limited',
  deadline: 'late',
  'not-found': 'unread',
  unauthorized: 'unread',
  forbidden: 'unread',
  invalid: 'unread',
}

export function whyNotHad({ code }: { readonly code: UpstreamErrorCode }): NotHad {
  return NOT_HAD[code]
}
