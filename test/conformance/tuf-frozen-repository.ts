import { hash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join, posix } from 'node:path'
import { z } from 'zod'

/** A real repository as it was published on one day, served on the loopback interface. */
export type FrozenRepository = AsyncDisposable & {
  readonly url: string
  readonly files: ReadonlyMap<string, Buffer>
}

const signedSchema = z.object({ signed: z.object({ version: z.int() }) })

/**
 * Reads a checkout of a repository that tuf-on-ci signs, such as sigstore/root-signing, and names its files as they are
 * published: with versions and hashes.
 */
export async function readPublished(checkout: string): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>()
  const metadata = join(checkout, 'metadata')
  for (const file of await readdir(metadata)) {
    if (!file.endsWith('.json')) continue
    const bytes = await readFile(join(metadata, file))
    const { version } = signedSchema.parse(JSON.parse(bytes.toString('utf8'))).signed
    files.set(file === 'timestamp.json' ? file : `${version}.${file}`, bytes)
  }
  const history = join(metadata, 'root_history')
  for (const file of await readdir(history)) files.set(file, await readFile(join(history, file)))
  const targets = join(checkout, 'targets')
  for (const entry of await readdir(targets, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = await readFile(join(entry.parentPath, entry.name))
    const folder = dirname(join(entry.parentPath, entry.name).slice(targets.length + 1))
    files.set(posix.join('targets', folder, `${hash('sha256', bytes, 'hex')}.${entry.name}`), bytes)
  }
  return files
}

export async function serveFrozen(files: ReadonlyMap<string, Buffer>): Promise<FrozenRepository> {
  const server = createServer((request, response) => {
    const found = files.get(decodeURIComponent((request.url ?? '/').slice(1)))
    response.writeHead(found === undefined ? 404 : 200).end(found)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    files,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
