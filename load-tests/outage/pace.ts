import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { Fault } from './front.ts'
import { TAG, type Image } from './images.ts'
import { ask } from './pull.ts'
import { refreshTrust, type Proxy } from './proxy.ts'
import type { Dependency, Fronts, World } from './world.ts'

type Paced = { readonly proxy: Proxy; readonly fronts: Fronts }

/** p99 of warm pulls in milliseconds, with the dependency dead and without, at the same moments. */
export type Pace = {
  readonly dependency: Dependency
  readonly fault: Fault
  readonly byDigest: Compared
  readonly byTag: Compared
  /** Of all rounds: answers that were not 200. */
  readonly failed: number
}

type Compared = { readonly deadMs: number; readonly aliveMs: number; readonly ratio: number }
/** Milliseconds of each pull. */
type Times = { readonly byDigest: number[]; readonly byTag: number[]; failed: number }

/** Of each proxy; few enough that a busy machine keeps up: the question is how long one pull takes, not how many fit. */
export const PULLS_PER_SECOND = 200
const TICK_MS = 5
const SETTLE_MS = 3_000
const REFRESH_LIMIT_MS = 500

/** Both are killed and started before: no earlier outage has left its mark, and neither has run longer than the other. */
export async function measurePace(
  world: World,
  { dead, alive }: { dead: Paced; alive: Paced },
  what: { dependency: Dependency; fault: Fault; forMs: number },
): Promise<Pace> {
  const { dependency, fault, forMs } = what
  const images = knownGood(world)
  for (const { proxy } of [dead, alive]) {
    await proxy.kill()
    await proxy.start()
    await warm(proxy, images)
  }
  await dead.fronts[dependency].breakWith(fault)
  await refreshTrust(dead.proxy, REFRESH_LIMIT_MS)
  const [deadTimes, aliveTimes] = [noTimes(), noTimes()]
  // The first few calls of the outage are those that learn of it.
  const learning = [dead, alive].map(({ proxy }) => ({ proxy, into: noTimes() }))
  await drive(learning, images, SETTLE_MS)
  const measured = [
    { proxy: dead.proxy, into: deadTimes },
    { proxy: alive.proxy, into: aliveTimes },
  ]
  await drive(measured, images, forMs)
  await dead.fronts[dependency].breakWith(undefined)
  const compare = (pick: (times: Times) => readonly number[]): Compared => {
    const [deadMs, aliveMs] = [p99(pick(deadTimes)), p99(pick(aliveTimes))]
    return { deadMs, aliveMs, ratio: deadMs / aliveMs }
  }
  return {
    dependency,
    fault,
    byDigest: compare(({ byDigest }) => byDigest),
    byTag: compare(({ byTag }) => byTag),
    failed: deadTimes.failed + aliveTimes.failed,
  }
}

function noTimes(): Times {
  return { byDigest: [], byTag: [], failed: 0 }
}

export function knownGood(world: World): readonly Image[] {
  return world.images.filter(({ slot, signature }) => slot === 'known' && signature === 'good')
}

export async function warm(proxy: Proxy, images: readonly Image[]): Promise<void> {
  for (const image of images) {
    const { status } = await ask(proxy.port(), 'GET', `/v2/${image.repository}/manifests/${TAG}`)
    if (status !== 200) throw new Error(`${image.repository} answered ${status} where nothing is missing`)
  }
}

/**
 * Requests at their times, whether those before have been answered or not, so that one that hangs hides no other. Each is
 * asked of all, who comes first by turns, so that a slow moment of the machine hurts all alike.
 */
async function drive(
  asked: readonly { proxy: Proxy; into: Times }[],
  images: readonly Image[],
  forMs: number,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const running: Promise<void>[] = []
  const started = performance.now()
  let sent = 0
  while (performance.now() - started < forMs) {
    const due = ((performance.now() - started) / 1000) * PULLS_PER_SECOND
    for (; sent < due; sent++) {
      const image = images[sent % images.length]
      if (image === undefined) break
      const kind = Math.floor(sent / images.length) % 2 === 0 ? 'byDigest' : 'byTag'
      const path = `/v2/${image.repository}/manifests/${kind === 'byDigest' ? image.digest : TAG}`
      for (const { proxy, into } of sent % 2 === 0 ? asked : asked.toReversed()) {
        running.push(
          once(agent, proxy.port(), path).then(({ ms, status }) => {
            into[kind].push(ms)
            if (status !== 200) into.failed += 1
          }),
        )
      }
    }
    await pause(TICK_MS)
  }
  await Promise.all(running)
  agent.destroy()
}

function once(agent: Agent, port: number, path: string): Promise<{ ms: number; status: number }> {
  const started = performance.now()
  return new Promise((resolve) => {
    const done = (status: number): void => resolve({ ms: performance.now() - started, status })
    const outgoing = request({ host: '127.0.0.1', port, path, agent }, (incoming) => {
      incoming.on('error', () => done(0)).on('end', () => done(incoming.statusCode ?? 0))
      incoming.resume()
    })
    outgoing.on('error', () => done(0)).end()
  })
}

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
}
