import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** Bytes of output kept per process; the oldest go first. */
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024
const STOP_GRACE_MS = 10_000

export type Running = {
  readonly name: string
  readonly pid: number
  /** Everything that the process wrote to stdout and stderr so far. */
  output(): string
  /** SIGTERM to this pid alone, SIGKILL after a grace period. Safe to call twice. */
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
}

export type Result = {
  readonly ok: boolean
  readonly status: number | null
  /** stdout and stderr in the order in which they arrived. */
  readonly output: string
}

type Collected = { text(): string }

function collect(child: ChildProcess): Collected {
  let output = ''
  const add = (chunk: string) => {
    output = (output + chunk).slice(-OUTPUT_BYTES_MAX)
  }
  child.stdout?.setEncoding('utf8').on('data', add)
  child.stderr?.setEncoding('utf8').on('data', add)
  return { text: () => output }
}

export type Command = {
  readonly command: string
  readonly args: readonly string[]
  /** Added to this process's own environment, less PORTCULLIS_*. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Throws stdout away: for programs under load that write a line a request. */
  readonly quiet?: boolean
}

/** The tests' own settings stay with the tests: the proxy refuses to start with a PORTCULLIS_ variable that it does not know. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PORTCULLIS_')))
}

function launch({ command, args, env, cwd, quiet = false }: Command): ChildProcess {
  return spawn(command, args, {
    env: { ...inherited(), ...env },
    stdio: ['ignore', quiet ? 'ignore' : 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  })
}

/** Runs a command to its end; a command that takes longer than `timeoutMs` is killed and counts as failed. */
export async function run(command: Command, timeoutMs = 120_000): Promise<Result> {
  const child = launch(command)
  const collected = collect(child)
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  try {
    const closed: unknown[] = await once(child, 'close')
    const status = typeof closed[0] === 'number' ? closed[0] : null
    return { ok: status === 0, status, output: collected.text() }
  } finally {
    clearTimeout(timer)
  }
}

/** Like `run`, for steps of the test's own preparation: anything but success stops the test with the output. */
export async function must(command: Command, timeoutMs?: number): Promise<string> {
  const result = await run(command, timeoutMs)
  if (result.ok) return result.output
  throw new Error(
    `${command.command} ${command.args.join(' ')} ended with ${result.status}:\n${result.output}`,
  )
}

async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
  await exited
  clearTimeout(timer)
}

/** Starts a long-running process and returns once `ready` answers true; stops it again where that never happens. */
export async function start(
  name: string,
  command: Command,
  ready: (output: string) => boolean | Promise<boolean>,
): Promise<Running> {
  const child = launch(command)
  const collected = collect(child)
  let failure: Error | undefined
  child.once('error', (error) => (failure = error))
  await once(child, 'spawn')
  const { pid } = child
  if (pid === undefined) throw new Error(`${name} has no pid`)
  const alive = () => failure === undefined && child.exitCode === null && child.signalCode === null
  try {
    await until(`${name} is ready`, async () => {
      if (!alive()) throw new Error(`${name} ended with ${child.exitCode}`)
      return await ready(collected.text())
    })
  } catch (cause) {
    await stop(child)
    throw new Error(`${name} did not start:\n${collected.text()}`, { cause })
  }
  return {
    name,
    pid,
    output: () => collected.text(),
    stop: () => stop(child),
    kill: () => stop(child, 'SIGKILL'),
  }
}

/** Polls until `condition` holds; at most `attempts` times, 100 ms apart. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  attempts = 300,
): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    if (await condition()) return
    await pause(100)
  }
  throw new Error(`gave up waiting until ${what}`)
}

/** True where something answers `url` with any status below 500. */
export async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    await response.body?.cancel()
    return response.status < 500
  } catch {
    return false
  }
}

/**
 * Below those that kernels give to outgoing connections of themselves (Linux from 32768, others from 49152): what was free a
 * moment ago, or belongs to a program that is down, is nobody's by chance.
 */
const PORTS = { first: 15_000, end: 32_000 }
const PORTS_TRIED = 50

/** A port of 127.0.0.1 that was free a moment ago, for programs that cannot be asked to choose one and tell it. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PORTS_TRIED; tried += 1) {
    const port = randomInt(PORTS.first, PORTS.end)
    if (await canListen(port)) return port
  }
  throw new Error(`no free port among ${PORTS_TRIED}`)
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer()
  const listening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
  })
  if (!listening) return false
  server.close()
  await once(server, 'close')
  return true
}
