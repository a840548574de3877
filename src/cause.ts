import { DeadlineError } from './deadline.ts'
import type { Cause } from './policy/types.ts'
import { whyNotHad, type NotHad } from './upstream/outage.ts'
import { UpstreamError } from './upstream/types.ts'
import { WorkError } from './work/work-error.ts'

/** What a stance goes by. Only `registry` is an outage. */
export const DEPENDENCY_OF: Readonly<Record<NotHad, Cause['dependency']>> = {
  unanswered: 'registry',
  limited: 'rate-limit',
  late: 'deadline',
  unread: 'verifier',
}

/**
 * What could not be known because of an error; undefined where it is a fault of this program. An answer of upstream that
 * leaves something open is no outage, so no stance lets it pass.
 */
export function causeOf(error: unknown): Cause | undefined {
  if (error instanceof DeadlineError) return { dependency: 'deadline', message: error.message }
  if (error instanceof WorkError) return { dependency: 'verifier', message: error.message }
  if (!(error instanceof UpstreamError)) return undefined
  return { dependency: DEPENDENCY_OF[whyNotHad(error)], message: error.message }
}
