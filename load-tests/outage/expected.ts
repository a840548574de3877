import type { Fault } from './front.ts'
import type { Image } from './images.ts'
import type { Dependency } from './world.ts'

/**
 * What a client can get: 200; 200 by a stance, with a warning; 403; 503. And, where there is no manifest that a policy
 * could be asked about, what the registry's answer amounts to: 429.
 */
export type Outcome = 'served' | 'last-verified' | 'open' | 'refused' | 'held' | 'throttled'

/** When it is asked, relative to the outage. `first`: nothing was ever fetched before the outage. */
export type Moment = 'first' | 'during' | 'restart' | 'recovery'

export type Situation = {
  readonly dependency: Dependency
  readonly fault: Fault
  readonly moment: Moment
}

/**
 * The rules. A verdict that was reached stays. What needs something that is missing is undetermined, and then the stance
 * decides; everything else is judged as always. Without a manifest there is nothing that a stance could let pass.
 */
export function expectedOutcome(situation: Situation, image: Image): Outcome {
  const { dependency, moment } = situation
  const verdict = image.signature === 'good' ? 'served' : 'refused'
  if (moment === 'recovery') return verdict
  if (image.slot === 'known') return isForgotten(situation, verdict) ? 'held' : verdict
  if (dependency === 'registry') return withoutManifest(situation.fault)
  if (!lacks(situation, image)) return verdict
  return image.stance === 'open' && image.slot !== 'extra' ? 'open' : 'held'
}

/**
 * A signature is evidence and is kept; that there was none cannot be. So what was refused is only withheld by a process
 * that starts without the registry, in every stance: that it was refused is no reason to let it pass.
 */
function isForgotten({ dependency, moment }: Situation, verdict: 'served' | 'refused'): boolean {
  return verdict === 'refused' && dependency === 'registry' && moment === 'restart'
}

function withoutManifest(fault: Fault): Outcome {
  return fault === '429' ? 'throttled' : 'held'
}

/** Whether the verdict needs what this dependency gives and has not given before. */
function lacks({ dependency, moment }: Situation, { policy, signature }: Image): boolean {
  switch (dependency) {
    // A root or key that was had once is on disk, and outlives its origin.
    case 'tuf':
      return moment === 'first' && policy !== 'kms'
    case 'kms':
      return moment === 'first' && policy === 'kms'
    // The log is asked about signatures that lack nothing but their entry.
    case 'rekor':
      return policy === 'logged' && signature === 'good'
    case 'registry':
      return true
  }
}
