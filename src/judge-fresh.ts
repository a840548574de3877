import type { Gate } from './gate.ts'
import type { Judge } from './judge.ts'
import { refusalMessage } from './policy/refusal.ts'
import { inRing } from './policy/ring.ts'
import type { JudgeFresh } from './replay.ts'
import type { ManifestSource } from './upstream/manifest-source.ts'

/** A judge and manifests without memory, as a proxy has them that starts now: what is on disk is all there is. */
export type Fresh = {
  readonly manifests: Pick<ManifestSource, 'resolve'>
  readonly judge: Pick<Judge, 'judge'>
}

/** What such a proxy would do with a pull. Nothing is served, recorded or spent. */
export function createJudgeFresh(fresh: () => Fresh, gate: Pick<Gate, 'rehearse'>): JudgeFresh {
  return async ({ repository, reference, ring }, trial) => {
    const { manifests, judge } = fresh()
    const digest = await manifests.resolve(repository, reference)
    const { judgement } = await judge.judge(repository, digest)
    const outcome = gate.rehearse(repository, digest, inRing(judgement, ring), trial)
    if (outcome.kind !== 'serve') {
      return { outcome: outcome.kind, why: refusalMessage(outcome, 'none').line }
    }
    const [admitted] = outcome.admitted
    if (admitted === undefined) return { outcome: 'serve', why: 'verified' }
    return { outcome: 'admitted', why: `policy ${admitted.result.policy}, stance ${admitted.by}` }
  }
}
