import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { answerFault, isSigningFault, type TufFault } from './tuf-fault.ts'
import { TufPublisher, type PublishOptions, type PublisherOptions, type TufRole } from './tuf-publisher.ts'
import type { TargetContents } from './tuf-metadata.ts'

export type TufRepositoryOptions = Omit<PublisherOptions, 'now'> & {
  /** What expiry is counted from. Default: the machine's clock. */
  readonly now?: () => Date
}

/** A TUF repository with real keys, served on the loopback interface. */
export type TufRepository = AsyncDisposable & {
  /** Metadata here, targets below `/targets`; no slash at the end. */
  readonly url: string
  /** What is served, by path below `url`; a test may change it. */
  readonly files: Map<string, Buffer>
  /** The newest version of each role. */
  readonly versions: Readonly<Record<TufRole, number>>
  /** Paths below `url` that were asked for, oldest first; a test may empty it. */
  readonly requests: string[]
  /** The bytes of one `root.json`; default the first. */
  root(version?: number): Buffer
  /** New targets, or the same again: a new version of all metadata but the root. */
  publish(targets?: TargetContents, options?: PublishOptions): void
  /** A new timestamp: what a healthy repository does every day. */
  renew(options?: PublishOptions): void
  /** A new root with the same keys. */
  renewRoot(options?: PublishOptions): void
  /** A new key for the role, in a new root (for `delegated`: in new targets), and new versions of what it signs. */
  rotate(role: TufRole, options?: PublishOptions): void
  /** From now on every request that `affects` it meets this fault; undefined is an honest repository again. */
  fault(kind: TufFault | undefined, affects?: (path: string) => boolean): Promise<void>
  close(): Promise<void>
}

type Trouble = { readonly kind: TufFault; readonly affects: (path: string) => boolean }

/** Starts at root 1, targets 1, snapshot 1, timestamp 2. */
export async function createTufRepository(options: TufRepositoryOptions): Promise<TufRepository> {
  const publisher = new TufPublisher({ ...options, now: options.now ?? (() => new Date()) })
  const requests: string[] = []
  const state: { trouble: Trouble | undefined } = { trouble: undefined }
  const server = createServer((request, response) => {
    const path = pathOf(request)
    requests.push(path)
    respond(path, response, { publisher, trouble: state.trouble })
  })
  const listen = (port: number) =>
    new Promise<number>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const port = await listen(0)
  return {
    url: `http://127.0.0.1:${port}`,
    files: publisher.files,
    versions: publisher.versions,
    requests,
    root: (version = 1) => {
      const bytes = publisher.files.get(`${version}.root.json`)
      if (bytes === undefined) throw new RangeError(`there is no root ${version}`)
      return bytes
    },
    publish: (targets, to) => publisher.publish(targets, to),
    renew: (to) => publisher.publishTimestamp(to),
    renewRoot: (to) => publisher.publishRoot(to),
    rotate: (role, to) => publisher.rotate(role, to),
    fault: async (kind, affects = () => true) => {
      state.trouble = kind === undefined ? undefined : { kind, affects }
      if (kind === 'refused') await close()
      else if (!server.listening) await listen(port)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function pathOf(request: IncomingMessage): string {
  const { pathname } = new URL(request.url ?? '/', 'http://repository')
  return decodeURIComponent(pathname.slice(1))
}

function respond(
  path: string,
  response: ServerResponse,
  { publisher, trouble }: { publisher: TufPublisher; trouble: Trouble | undefined },
): void {
  const bytes = publisher.files.get(path)
  const kind = trouble?.affects(path) === true ? trouble.kind : undefined
  if (kind === undefined || kind === 'refused') return send(response, bytes)
  if (isSigningFault(kind)) {
    return send(response, path === 'timestamp.json' ? publisher.falseTimestamp(kind) : bytes)
  }
  if (kind === 'wrong-hash' && !path.startsWith('targets/')) return send(response, bytes)
  return answerFault(kind, bytes ?? Buffer.from('{}'), response)
}

function send(response: ServerResponse, bytes: Buffer | undefined): void {
  if (bytes === undefined) return void response.writeHead(404).end('not found')
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length })
  response.end(bytes)
}
