import { spawn } from 'node:child_process'
import { Agent } from 'node:http'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { startRegistry } from '../../src/testing/registry.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { ISSUER, RELEASE, writeConfiguration, type Harness } from './harness.ts'
import { requestTo, type Reply, type RequestOptions } from './http.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export type LogEvent = Readonly<Record<string, unknown>>

/** Asks on one connection, which one worker has. */
export type Client = (method: string, target: string, options?: RequestOptions) => Promise<Reply>

/** `portcullis serve` as processes of their own, with a registry and a private Sigstore. */
export type ProcessHarness = AsyncDisposable &
  Pick<Harness, 'registry' | 'sigstore' | 'release' | 'dataDirectory' | 'editPolicies'> & {
    readonly pid: number
    /** Of the data listener. */
    readonly port: number
    /** Of every process that has ended: code or signal. */
    readonly ended: Promise<number | string | null>
    admin(method: string, target: string, body?: object): Promise<Reply>
    /** The first event of the log from now on, or before, that is like this. */
    readonly logged: (isIt: (event: LogEvent) => boolean) => Promise<LogEvent>
    events(): readonly LogEvent[]
    /** One connection to each of the workers, by worker. */
    clients(count: number): Promise<ReadonlyMap<number, Client>>
    signal(signal: NodeJS.Signals): void
  }

export async function startProcesses(config: Readonly<Record<string, unknown>>): Promise<ProcessHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-processes-'))
  const registry = await startRegistry()
  const sigstore = await createSigstore()
  const path = await writeConfiguration(directory, {
    registry,
    sigstore,
    options: { config: { log: { level: 'info' }, shutdown: { drain: '2s' }, ...config } },
  })
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', path], { env: {} })
  const ended = new Promise<number | string | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code))
  })
  const log = followLog(child.stdout)
  const said: string[] = []
  child.stderr.on('data', (text: Buffer) => said.push(text.toString()))
  const begun = await Promise.race([log.first(({ event }) => event === 'start'), ended])
  if (typeof begun !== 'object' || begun === null) throw new TypeError(`it does not start: ${said.join('')}`)
  const listen = begun['listen'] as Record<string, { port: number }>
  const [port, adminPort] = [listen['data']!.port, listen['admin']!.port]
  const agents: Agent[] = []
  return {
    registry,
    sigstore,
    release: sigstore.keyless({ subject: RELEASE, issuer: ISSUER }),
    dataDirectory: join(directory, 'data'),
    pid: child.pid!,
    port,
    ended,
    admin: async (method, target, body) =>
      await requestTo(adminPort, {
        method,
        target,
        headers: { 'content-type': 'application/json', ...lengthOf(body) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    logged: log.first,
    events: () => log.events,
    clients: async (count) => await clientsOf(port, { count, log, agents }),
    signal: (signal) => void child.kill(signal),
    async editPolicies(edit) {
      const file = join(directory, 'policies', 'test.yaml')
      await writeFile(file, edit(await readFile(file, 'utf8')))
    },
    async [Symbol.asyncDispose]() {
      for (const agent of agents) agent.destroy()
      child.kill('SIGTERM')
      await ended
      await registry.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function lengthOf(body: object | undefined): Record<string, string> {
  return body === undefined ? {} : { 'content-length': String(Buffer.byteLength(JSON.stringify(body))) }
}

type Log = {
  readonly events: LogEvent[]
  readonly first: (isIt: (event: LogEvent) => boolean) => Promise<LogEvent>
}

function followLog(stdout: NodeJS.ReadableStream): Log {
  const events: LogEvent[] = []
  const waiting = new Set<(event: LogEvent) => void>()
  createInterface(stdout).on('line', (line) => {
    const event: LogEvent = JSON.parse(line)
    events.push(event)
    for (const look of waiting) look(event)
  })
  return {
    events,
    first: async (isIt) =>
      await new Promise((resolve) => {
        const known = events.find(isIt)
        if (known !== undefined) return resolve(known)
        const look = (event: LogEvent): void => {
          if (!isIt(event)) return
          waiting.delete(look)
          resolve(event)
        }
        waiting.add(look)
      }),
  }
}

/** New connections until each worker has one: the log says who answered. */
async function clientsOf(
  port: number,
  { count, log, agents }: { count: number; log: Log; agents: Agent[] },
): Promise<ReadonlyMap<number, Client>> {
  const clients = new Map<number, Client>()
  while (clients.size < count) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    agents.push(agent)
    const client: Client = async (method, target, options) =>
      await requestTo(port, { method, target, agent, ...options })
    const target = `/v2/?client=${agents.length}`
    // oxlint-disable-next-line no-await-in-loop -- one connection after the other
    await client('GET', target)
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const { worker } = await log.first((event) => event['target'] === target)
    clients.set(Number(worker), client)
  }
  return clients
}
