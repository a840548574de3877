import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { answers, freePort, start, type Running } from './process.ts'

export type Seen = {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly userAgent: string
}

/** A door to a registry that writes down who came through it. */
export type Door = {
  /** `127.0.0.1:port`. */
  readonly host: string
  readonly url: string
  /** Every request since the last `forget`. */
  seen(): readonly Seen[]
  forget(): void
  /** From now on what is asked for at these paths gets no answer before what it returns is called. */
  hold(isHeld: (path: string) => boolean): () => void
  /** Refuses connections from now on, as a registry that is down. */
  close(): Promise<void>
}

export type RealRegistry = {
  /** `127.0.0.1:port` of docker-registry itself. */
  readonly host: string
  openDoor(): Promise<Door>
  stop(): Promise<void>
}

function forward(port: number, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const onward = request({
    host: '127.0.0.1',
    port,
    method: incoming.method,
    path: incoming.url,
    headers: incoming.headers,
  })
  onward.on('response', (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(outgoing)
  })
  onward.on('error', () => (outgoing.headersSent ? outgoing.destroy() : outgoing.writeHead(502).end()))
  incoming.pipe(onward)
}

async function openDoor(port: number): Promise<Door> {
  let log: Seen[] = []
  let held: { isHeld: (path: string) => boolean; released: Promise<void> } | undefined
  const server = createServer((incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming
    outgoing.once('close', () => {
      log.push({ method, path, status: outgoing.statusCode, userAgent: headers['user-agent'] ?? '' })
    })
    if (held?.isHeld(path) === true) void held.released.then(() => forward(port, incoming, outgoing))
    else forward(port, incoming, outgoing)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const host = `127.0.0.1:${address.port}`
  return {
    host,
    url: `http://${host}`,
    seen: () => log,
    forget: () => (log = []),
    hold(isHeld) {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = { isHeld, released: promise }
      return resolve
    },
    close: async () => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** docker-registry (distribution 2.8) with its files in `directory`. */
export async function startRegistry(directory: string): Promise<RealRegistry> {
  const port = await freePort()
  const config = join(directory, 'registry.yml')
  const settings = {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'registry') }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, relativeurls: true, secret: 'one-process-only' },
  }
  await writeFile(config, JSON.stringify(settings))
  const command = { command: 'docker-registry', args: ['serve', config] }
  const running: Running = await start('docker-registry', command, () =>
    answers(`http://127.0.0.1:${port}/v2/`),
  )
  const doors: Door[] = []
  return {
    host: `127.0.0.1:${port}`,
    openDoor: async () => {
      const door = await openDoor(port)
      doors.push(door)
      return door
    },
    stop: async () => {
      await Promise.all(doors.map((door) => door.close()))
      await running.stop()
    },
  }
}
