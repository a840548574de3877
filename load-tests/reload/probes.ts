import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { MANIFEST_ACCEPT } from '../measure.ts'
import { PROBE_TAG, probeRepository, SIDES, type Side, type Subject } from './world.ts'

/** One answer for one of the two images, with what it says about who counts. */
export type Seen = { readonly askedMs: number; readonly side: Side; readonly isServed: boolean }

/** When the change began and when it was acknowledged, in milliseconds of `performance.now()`. */
export type Times = { readonly beganMs: number; readonly acknowledgedMs: number }

export type Verdicts = {
  /** Asked before the change began or after it was acknowledged. */
  readonly asked: number
  /** Of those, how many were not as the state says that counted then. */
  readonly old: number
  /** From the beginning of the change to the first answer by the new state. */
  readonly newAfterMs: number
}

const PROBE_EVERY_MS = 10

/** Asks for both images again and again until told to end. */
export async function probe(base: string, subject: Subject, signal: AbortSignal): Promise<readonly Seen[]> {
  const agent = new Agent({ keepAlive: true })
  const seen: Seen[] = []
  while (!signal.aborted) {
    for (const side of SIDES) {
      const askedMs = performance.now()
      const url = `${base}/v2/${probeRepository(subject, side)}/manifests/${PROBE_TAG}`
      seen.push({ askedMs, side, isServed: (await statusOf(agent, url)) === 200 })
    }
    await pause(PROBE_EVERY_MS)
  }
  agent.destroy()
  return seen
}

async function statusOf(agent: Agent, url: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const outgoing = request(url, { agent, headers: { accept: MANIFEST_ACCEPT } }, (incoming) => {
    incoming.resume().on('end', () => resolve(incoming.statusCode ?? 0))
  })
  outgoing.on('error', reject).end()
  return await promise
}

/** What was asked while a change was on its way may be answered by either state. */
export function verdictsOf(seen: readonly Seen[], to: Side, { beganMs, acknowledgedMs }: Times): Verdicts {
  const before = seen.filter(({ askedMs }) => askedMs < beganMs)
  const after = seen.filter(({ askedMs }) => askedMs > acknowledgedMs)
  const isNew = ({ side, isServed }: Seen): boolean => isServed === (side === to)
  const first = seen.find((one) => one.askedMs >= beganMs && isNew(one))
  return {
    asked: before.length + after.length,
    old: before.filter(isNew).length + after.filter((one) => !isNew(one)).length,
    newAfterMs: (first?.askedMs ?? Number.NaN) - beganMs,
  }
}
