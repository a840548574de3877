import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/e2e/harness/process.ts'
import { writeConfiguration, type Fronts, type Settings, type World } from './world.ts'

export type LogLine = Readonly<Record<string, unknown>> & { readonly event?: string; readonly msg?: string }

/** The proxy, whichever way it runs. */
export type Proxy = {
  readonly dataDirectory: string
  port(): number
  adminPort(): number
  /** Milliseconds until it answered. */
  start(): Promise<number>
  /** Without any notice. */
  kill(): Promise<void>
  log(): Promise<readonly LogLine[]>
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const START_LIMIT_MS = 60_000
const POLL_MS = 5

type ProcessSettings = Omit<Settings, 'ports' | 'logLevel'> & {
  /** As taskset lists them; default those of whoever starts it. */
  readonly cores?: string
}

/** `node src/main.ts serve`, as an operator runs it. */
async function createProxyProcess(
  world: World,
  fronts: Fronts,
  { cores, ...settings }: ProcessSettings,
): Promise<Proxy> {
  const { directory } = settings
  const ports = { data: await freePort(), admin: await freePort() }
  const path = await writeConfiguration(world, fronts, { ...settings, ports, logLevel: 'info' })
  const logFile = join(directory, 'log')
  const serve = [process.execPath, MAIN, 'serve', '--config', path]
  // taskset becomes the program, so that the child is the proxy either way.
  const [command = '', ...args] = cores === undefined ? serve : ['taskset', '--cpu-list', cores, ...serve]
  let child: ChildProcess | undefined
  return {
    dataDirectory: join(directory, 'data'),
    port: () => ports.data,
    adminPort: () => ports.admin,
    async start() {
      const output = openSync(logFile, 'a')
      const started = performance.now()
      child = spawn(command, args, {
        stdio: ['ignore', output, output],
        env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...world.env },
      })
      closeSync(output)
      while (!(await isUp(ports.data))) {
        if (child.exitCode !== null || performance.now() - started > START_LIMIT_MS)
          throw new Error(`the proxy does not start: ${(await readFile(logFile, 'utf8')).slice(-2000)}`)
        await pause(POLL_MS)
      }
      return performance.now() - started
    },
    async kill() {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
    log: async () => linesOf(await readFile(logFile, 'utf8')),
  }
}

/** A proxy of its own with ways of its own to the dependencies, and nothing left of it afterwards. */
export async function withProxy<T>(
  world: World,
  settings: Omit<ProcessSettings, 'directory'>,
  work: (own: { proxy: Proxy; fronts: Fronts }) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-outage-'))
  await using fronts: Fronts & AsyncDisposable = await world.openFronts()
  const proxy = await createProxyProcess(world, fronts, { ...settings, directory })
  try {
    return await work({ proxy, fronts })
  } finally {
    await proxy.kill()
    await rm(directory, { recursive: true, force: true })
  }
}

async function isUp(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/v2/`, { signal: AbortSignal.timeout(1_000) })
    return response.ok
  } catch {
    return false
  }
}

/** The last line may be cut where the process was killed. */
function linesOf(text: string): readonly LogLine[] {
  return text.split('\n').flatMap((line): LogLine[] => {
    try {
      const value: unknown = JSON.parse(line)
      return typeof value === 'object' && value !== null ? [value as LogLine] : []
    } catch {
      return []
    }
  })
}

export type AdmissionRow = { readonly repository: string; readonly clients: string }

/** What stance open let pass, from the disk of a proxy that does not run. */
export function admissionsOnDisk({ dataDirectory }: Pick<Proxy, 'dataDirectory'>): readonly AdmissionRow[] {
  const database = new DatabaseSync(join(dataDirectory, 'portcullis.db'))
  try {
    const rows = database.prepare('SELECT name, clients FROM admission').all()
    return rows.map(({ name, clients }) => ({ repository: String(name), clients: String(clients) }))
  } finally {
    database.close()
  }
}

/** Renews trust now, as far as that takes no longer than the limit. */
export async function refreshTrust(proxy: Proxy, limitMs: number): Promise<void> {
  const url = `http://127.0.0.1:${proxy.adminPort()}/trust/refresh`
  const headers = { 'content-type': 'application/json' }
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body: '{}',
      signal: AbortSignal.timeout(limitMs),
    })
    await response.text()
  } catch {
    // A mirror that hangs: the renewal goes on without us.
  }
}

export async function metricsOf(proxy: Proxy): Promise<readonly string[]> {
  const response = await fetch(`http://127.0.0.1:${proxy.adminPort()}/metrics`)
  return (await response.text()).split('\n').filter((line) => !line.startsWith('#'))
}
