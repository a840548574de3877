import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { requestTo } from '../../test/integration/http.ts'
import type { World } from './world.ts'

/** `portcullis serve` in a process of its own. */
export type Proxy = {
  /** Milliseconds from the start of the process to the first answer. */
  readonly startMs: number
  isAlive(): boolean
  /** SIGKILL; settles when the process is gone. */
  kill(): Promise<void>
  /** The end of what it wrote on stderr and stdout. */
  output(): string
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const POLL_MS = 5
/** A start takes about a second on a busy machine. */
const START_MS_MAX = 20_000
const OUTPUT_CHARS_MAX = 20_000

/** Gives what the process wrote where it ends, or does not answer, instead of starting. */
export async function startProxy(world: World): Promise<Proxy | { readonly problem: string }> {
  const launched = launch(world)
  const start = performance.now()
  while (performance.now() - start < START_MS_MAX && launched.isAlive()) {
    // oxlint-disable-next-line no-await-in-loop -- until it answers
    if (await answers(world.port)) return { ...launched, startMs: performance.now() - start }
    // oxlint-disable-next-line no-await-in-loop -- until it answers
    await sleep(POLL_MS)
  }
  const what = launched.isAlive() ? 'does not answer' : 'ends'
  await launched.kill()
  return { problem: `the proxy ${what} instead of starting: ${launched.output()}` }
}

/** Starts it and kills it after so many milliseconds, whether or not it had come up by then. */
export async function killWhileStarting(world: World, afterMs: number): Promise<void> {
  const launched = launch(world)
  await sleep(afterMs)
  await launched.kill()
}

function launch({ configuration }: World): Omit<Proxy, 'startMs'> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', configuration], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const gone = once(child, 'close')
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('close', () => process.off('exit', end))
  let output = ''
  const keep = (chunk: string): void => void (output = `${output}${chunk}`.slice(-OUTPUT_CHARS_MAX))
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', keep)
  return {
    isAlive: () => isAlive(child),
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
    output: () => output,
  }
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await requestTo(port, { method: 'GET', target: '/v2/' })).status === 200
  } catch {
    return false
  }
}
