import type { GateEvent } from '../gate.ts'
import { repositoryName } from '../oci/reference.ts'
import type { RetiringKind } from '../policy/retiring.ts'
import type { Verdict } from '../policy/types.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

type GateMetrics = Pick<Metrics, 'openAdmissions' | 'admissionsHeld' | 'admissionsJudged'>

/** The alerts of what is served unjudged. Each is one line at level error that names the image and who pulled it. */
export function observeGate(metrics: GateMetrics, log: Logger): (event: GateEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'admitted':
        log.error(
          {
            event: 'admitted',
            image: repositoryName(event.repository),
            digest: event.digest,
            client: event.client,
            policies: event.admitted.map(({ result, by }) => ({
              policy: result.policy,
              stance: by,
              causes: causesOf(result),
            })),
            decision: event.decision,
          },
          'served an image that nobody can judge now',
        )
        return
      case 'no-room':
        metrics.admissionsHeld.inc({ why: event.why })
        return
      case 'stale':
        tellStale(event, log)
        return
      case 'judged':
        metrics.admissionsJudged.inc({ verdict: event.finding.verdict })
        tellFinding(event, log)
        return
      case 'waiting':
        metrics.openAdmissions.set(event.count)
    }
  }
}

/** Counts what will stop to be satisfied. */
export function observeRetiring(
  metrics: Pick<Metrics, 'retiring'>,
): (kinds: readonly RetiringKind[]) => void {
  return (kinds) => {
    for (const kind of kinds) metrics.retiring.inc({ kind })
  }
}

function tellStale({ admission }: Extract<GateEvent, { kind: 'stale' }>, log: Logger): void {
  const { repository, digest, clients, firstAt, decision, policies } = admission
  log.error(
    {
      event: 'admission-stale',
      image: repositoryName(repository),
      digest,
      policies,
      clients,
      firstAt: firstAt.toISOString(),
      decision,
    },
    'an image that was served unjudged still cannot be judged; its budget is given back without it',
  )
}

function tellFinding({ admission, finding }: Extract<GateEvent, { kind: 'judged' }>, log: Logger): void {
  const { repository, digest, clients, firstAt, lastAt, count, decision, policies } = admission
  const event = {
    image: repositoryName(repository),
    digest,
    policies,
    clients,
    firstAt: firstAt.toISOString(),
    lastAt: lastAt.toISOString(),
    count,
    decision,
    reason: finding.reason,
  }
  if (finding.verdict === 'satisfied') {
    log.info({ event: 'admission-satisfied', ...event }, 'an image that was served unjudged is satisfied')
    return
  }
  const message = 'an image that was served unjudged violates its policy; it has been pulled by these clients'
  log.error({ event: 'admission-violated', ...event }, message)
}

function causesOf({ verdict }: { verdict: Verdict }): readonly string[] {
  if (verdict.kind !== 'undetermined') return []
  return verdict.causes.map(({ dependency, message }) => `${dependency}: ${message}`)
}
