import { setTimeout as pause } from 'node:timers/promises'
import { pull } from './pull.ts'
import type { Proxy } from './proxy.ts'
import { knownGood, warm } from './pace.ts'
import { DEPENDENCIES, type Fronts, type World } from './world.ts'

/** Milliseconds from the start of the process. */
export type Blackout = {
  readonly readyMs: number
  /** When the last verified image had been pulled. */
  readonly servedMs: number
  readonly images: number
  readonly deviations: readonly string[]
}

/** What is only a cache is written in batches: it is warm a moment after the pull. */
const SETTLE_MS = 1_000

/** A cache is warm; every dependency dies; the proxy is killed and started: what was verified is served. */
export async function runBlackout(world: World, fronts: Fronts, proxy: Proxy): Promise<Blackout> {
  const images = knownGood(world)
  await proxy.start()
  await warm(proxy, images)
  const pulled = await Promise.all(images.map((image) => pull(proxy.port(), image)))
  await pause(SETTLE_MS)
  for (const dependency of DEPENDENCIES) await fronts[dependency].breakWith('refused')
  await proxy.kill()
  const readyMs = await proxy.start()
  const started = performance.now()
  const after = await Promise.all(images.map((image) => pull(proxy.port(), image)))
  const servedMs = readyMs + performance.now() - started
  await proxy.kill()
  for (const dependency of DEPENDENCIES) await fronts[dependency].breakWith(undefined)
  const deviations = [...pulled, ...after].flatMap(({ outcome, message }) =>
    outcome === 'served' ? [] : [`blackout: expected served, got ${outcome} ${message}`],
  )
  return { readyMs, servedMs, images: images.length, deviations }
}
