import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { Fault } from './front.ts'
import { TAG, type Image } from './images.ts'
import { ask } from './pull.ts'
import { refreshTrust, type Proxy } from './proxy.ts'
import type { Dependency, Fronts, World } from './world.ts'

export type Paced = { readonly proxy: Proxy; readonly fronts: Fronts }

/** p99 of warm pulls in milliseconds, with the dependency dead and without, in turns. */
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

/** Few enough that a busy machine keeps up: the question is how long one pull takes, not how many fit. */
const REQUESTS_PER_SECOND = 400
const TICK_MS = 5
const SETTLE_MS = 3_000
const REFRESH_LIMIT_MS = 500

/** Short, so that a slow moment of the machine hurts both alike. */
const TURN_MS = 250

/** Both are killed and started before: no earlier outage has left its mark, and neither has run longer than the other. */
export async function measurePace(
  world: World,
  { dead, alive }: { dead: Paced; alive: Paced },
  what: { dependency: Dependency; fault: Fault; turns: number },
): Promise<Pace> {
  const { dependency, fault, turns } = what
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
  await drive(dead.proxy, images, { forMs: SETTLE_MS, into: noTimes() })
  await drive(alive.proxy, images, { forMs: SETTLE_MS, into: noTimes() })
  for (let turn = 0; turn < turns; turn++) {
    await drive(dead.proxy, images, { forMs: TURN_MS, into: deadTimes })
    await drive(alive.proxy, images, { forMs: TURN_MS, into: aliveTimes })
  }
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

/** Requests at their times, whether those before have been answered or not, so that one that hangs hides no other. */
async function drive(
  proxy: Proxy,
  images: readonly Image[],
  { forMs, into }: { forMs: number; into: Times },
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const running: Promise<void>[] = []
  const started = performance.now()
  let sent = 0
  while (performance.now() - started < forMs) {
    const due = ((performance.now() - started) / 1000) * REQUESTS_PER_SECOND
    for (; sent < due; sent++) {
      const image = images[sent % images.length]
      if (image === undefined) break
      const kind = Math.floor(sent / images.length) % 2 === 0 ? 'byDigest' : 'byTag'
      const path = `/v2/${image.repository}/manifests/${kind === 'byDigest' ? image.digest : TAG}`
      running.push(
        once(agent, proxy.port(), path).then(({ ms, status }) => {
          into[kind].push(ms)
          if (status !== 200) into.failed += 1
        }),
      )
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
