import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Sample, Target } from './measure.ts'
import { GENERATOR_CORE } from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'

const MS_PER_UNIT: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 }

/** The same by wrk, which asks several times as fast as autocannon. GET only: it waits for the body of a HEAD. */
export async function measureByWrk(target: Target, seconds: number, connections: number): Promise<Sample> {
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '5s', ...headers]
  const child = spawn('taskset', ['--cpu-list', String(GENERATOR_CORE), 'wrk', ...options, target.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  const ended = once(child, 'close')
  // It has no figure for its own work, and /proc forgets it when it ends.
  const watchedSeconds = seconds * 0.8
  await pause(watchedSeconds * 1000)
  const busy = (await cpuSeconds(child.pid ?? process.pid)) / watchedSeconds
  const [status]: unknown[] = await ended
  if (status !== 0) throw new Error(`wrk ended with ${String(status)}: ${output}`)
  return readReport(output, busy)
}

function readReport(output: string, generatorBusy: number): Sample {
  const number = (pattern: RegExp): number | undefined => {
    const found = pattern.exec(output)
    return found === null ? undefined : Number(found[1]) * (MS_PER_UNIT[found[2] ?? ''] ?? 1)
  }
  const requestsPerSecond = number(/Requests\/sec:\s+([\d.]+)/)
  const p50Ms = number(/50%\s+([\d.]+)(us|ms|s)/)
  const p99Ms = number(/99%\s+([\d.]+)(us|ms|s)/)
  if (requestsPerSecond === undefined || p50Ms === undefined || p99Ms === undefined)
    throw new Error(`wrk printed no figures: ${output}`)
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)
  const broken = (errors ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0)
  const refused = number(/Non-2xx or 3xx responses: (\d+)/) ?? 0
  return { requestsPerSecond, p50Ms, p99Ms, failed: broken + refused, generatorBusy }
}
