import { Gate, type GateEvent } from '../gate.ts'
import type { Digest } from '../oci/digest.ts'
import { OpenBudget } from '../open-budget.ts'
import type { Judgement, Outcome, Stance, Verdict } from '../policy/types.ts'
import { digest, openState, repository } from '../store/testing/state.ts'
import { VerifiedBefore } from '../verified-before.ts'

/** A gate over a real store, with the clock in the test's hands and its events in a list. */

export const MINUTE = 60_000
export const APP = repository('acme/app')
export const ELSEWHERE = { registry: 'quay.io', name: 'acme/app' }
export const INDEX = digest('index')
export const CHILD = digest('child')
export const OTHER = digest('other')
export const RING = { name: 'default', stanceLimit: undefined }

const VERDICTS: Readonly<Record<Verdict['kind'], Verdict>> = {
  satisfied: { kind: 'satisfied', by: [] },
  violated: { kind: 'violated', reasons: [] },
  undetermined: { kind: 'undetermined', causes: [{ dependency: 'registry', message: 'timed out' }] },
}

export function judged(kind: Verdict['kind'], stance: Stance = 'open'): Judgement {
  const modes = { fallback: 'enforce', byRing: new Map() } as const
  const rest = { version: 'v1', mode: 'enforce', modes, stance, runbook: undefined } as const
  return { results: [{ policy: 'signed', ...rest, verdict: VERDICTS[kind] }] }
}

export function setUp(opened = openState()) {
  const { clock, state, database } = opened
  const now = () => new Date(clock.ms)
  const epoch = { key: 'one' }
  const events: GateEvent[] = []
  const budget = new OpenBudget({ state, now, openImagesMax: 1, openForMs: 10 * MINUTE })
  const gate = new Gate({
    epoch: () => epoch,
    state,
    before: new VerifiedBefore({ state, now, lastVerifiedMaxAgeMs: 60 * MINUTE }),
    budget,
    now,
    onEvent: (event) => events.push(event),
  })
  const pulls: { count: number; recorded: string[] } = { count: 0, recorded: [] }
  /** A pull as the puller does it. */
  const pull = (image: Digest, judgement: Judgement, client = '10.0.0.1'): Outcome => {
    const decision = `d${++pulls.count}`
    const record = () => void pulls.recorded.push(decision)
    const outcome = gate.outcome(APP, image, judgement)
    if (outcome.kind === 'serve' && outcome.admitted.length > 0) {
      const { admitted } = outcome
      gate.admit(
        { repository: APP, digest: image, judgement, admitted, decision, client, ring: RING },
        record,
      )
    }
    return outcome
  }
  const satisfy = (image: Digest) => {
    gate.noteServed(APP, image, judged('satisfied'))
    gate.flush()
  }
  state.addClosure(APP, INDEX, { children: [CHILD], blobs: [], isEvidence: false })
  const kinds = () => events.map(({ kind }) => kind).filter((kind) => kind !== 'waiting')
  const restart = () => {
    const next = openState({ database })
    next.clock.ms = clock.ms
    return setUp(next)
  }
  return { gate, budget, pull, pulls, satisfy, restart, kinds, events, epoch, clock, state, database }
}

export function admittedBy(outcome: Outcome): string {
  return outcome.kind === 'serve' ? outcome.admitted.map(({ by }) => by).join() : outcome.kind
}
