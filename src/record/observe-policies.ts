import type { PolicyEvent } from '../policy-source/keeper.ts'
import { originText } from '../policy-source/source.ts'
import type { Logger } from './log.ts'
import type { PolicyMetrics } from './policy-metrics.ts'

/** One line for each set that comes into force, and for each that does not: all that is wrong with it. */
export function observePolicies(
  log: Logger,
  { reloads }: Pick<PolicyMetrics, 'reloads'>,
): (event: PolicyEvent) => void {
  return (event) => {
    const { set, origin } = event.inForce
    const told = {
      event: 'policies',
      kind: event.kind,
      version: set.version,
      source: origin === undefined ? undefined : originText(origin),
    }
    switch (event.kind) {
      case 'loaded': {
        reloads.inc({ result: 'loaded' })
        const text = `${set.policies.length} policies in force`
        return log.info({ ...told, policies: set.policies.length, revocations: set.revocations.length }, text)
      }
      case 'unchanged':
        return log.info(told, 'the policies in force are those of their source')
      case 'refused': {
        const { problems, isOutage } = event.trouble
        reloads.inc({ result: isOutage ? 'unavailable' : 'refused' })
        const rest = origin === undefined ? 'every image is held' : 'the policies in force stay'
        const text = `${isOutage ? 'the policies cannot be had' : 'the new policies are refused'}; ${rest}`
        // Somebody else's outage, in which what is in force goes on, wakes nobody.
        if (isOutage && origin !== undefined) return log.warn({ ...told, problems }, text)
        return log.error({ ...told, problems }, text)
      }
    }
  }
}
