import type { Profiler } from 'node:inspector'
import { Session } from 'node:inspector/promises'

/** Microseconds between two samples. */
const INTERVAL_US = 100

export type SelfTime = {
  readonly name: string
  /** File and line, from the project's own directory or from the package; empty for what is no JavaScript. */
  readonly place: string
  readonly us: number
}

export async function profileOf(run: () => Promise<void>): Promise<Profiler.Profile> {
  const session = new Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
    await session.post('Profiler.start')
    await run()
    const { profile } = await session.post('Profiler.stop')
    return profile
  } finally {
    session.disconnect()
  }
}

/**
 * The time that each function took by itself, the longest first. `root`: URL of the project's directory. A sample stands for
 * the time until the next one, and a function that was called from many places for all of them.
 */
export function selfTimes(
  { nodes, samples = [], timeDeltas = [] }: Profiler.Profile,
  root: string,
): readonly SelfTime[] {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const byFunction = new Map<string, SelfTime>()
  for (const [index, id] of samples.entries()) {
    const frame = frames.get(id)
    const us = timeDeltas[index + 1]
    if (frame === undefined || us === undefined) continue
    const name = frame.functionName === '' ? '(anonymous)' : frame.functionName
    const place = placeOf(frame, root)
    const key = `${name} ${place}`
    byFunction.set(key, { name, place, us: us + (byFunction.get(key)?.us ?? 0) })
  }
  return [...byFunction.values()].toSorted((a, b) => b.us - a.us)
}

function placeOf({ url, lineNumber }: Profiler.Profile['nodes'][number]['callFrame'], root: string): string {
  if (url === '') return ''
  const path = url.startsWith(root) ? url.slice(root.length) : url
  return `${path.split('node_modules/').at(-1)}:${lineNumber + 1}`
}
