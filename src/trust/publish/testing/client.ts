import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Updater } from 'tuf-js'

/** A web server for a directory, and nothing more. */
export type DirectoryServer = AsyncDisposable & {
  readonly url: string
  /** Path and status, oldest first. */
  readonly requests: string[]
}

export async function serveDirectory(directory: string): Promise<DirectoryServer> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').slice(1))
    readFile(join(directory, path)).then(
      (bytes) => {
        requests.push(`${path} 200`)
        response.end(bytes)
      },
      () => {
        requests.push(`${path} 404`)
        response.writeHead(404).end()
      },
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A tuf-js client that keeps what it has seen from one update to the next. */
export type TufClient = AsyncDisposable & {
  /** Updates, and gets the target. Throws what tuf-js throws. */
  get(name: string): Promise<string>
}

export async function createClient(url: string, root: Buffer): Promise<TufClient> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-tuf-client-'))
  const targetDir = join(directory, 'targets')
  await mkdir(targetDir)
  await writeFile(join(directory, 'root.json'), root)
  return {
    get: async (name) => {
      const updater = new Updater({
        metadataDir: directory,
        metadataBaseUrl: url,
        targetDir,
        targetBaseUrl: `${url}/targets`,
        config: { fetchRetry: 0 },
      })
      await updater.refresh()
      const info = await updater.getTargetInfo(name)
      if (info === undefined) throw new Error(`no target ${name}`)
      return readFile(await updater.downloadTarget(info), 'utf8')
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}
