import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answers, freePort, start, type Running } from './process.ts'
import { REGISTRY_NAME } from './clients.ts'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))

export type Served = {
  readonly running: Running
  /** `127.0.0.1:port` where clients pull. */
  readonly host: string
  readonly adminUrl: string
  /** Puts other policies in force. They are when it resolves. */
  readonly change: (documents: readonly object[]) => Promise<void>
}

export type ServeInput = {
  readonly directory: string
  readonly upstreamUrl: string
  readonly policies: readonly object[]
  /** Laid over the configuration, one level deep. */
  readonly config?: Readonly<Record<string, unknown>>
}

/** A proxy with any policies and settings; it ends with the stack. */
export async function serve(stack: AsyncDisposableStack, input: ServeInput): Promise<Served> {
  const { directory, upstreamUrl, policies, config } = input
  const [data, admin] = [await freePort(), await freePort()]
  const folder = join(directory, 'policies')
  await mkdir(folder)
  const write = (documents: readonly object[]): Promise<void> =>
    writeFile(join(folder, 'all.yaml'), documents.map((one) => JSON.stringify(one)).join('\n---\n'))
  await write(policies)
  const settings = {
    listen: { data: { port: data }, admin: { port: admin } },
    dataDirectory: join(directory, 'data'),
    upstreams: { [REGISTRY_NAME]: { url: upstreamUrl, allowPrivateAddresses: true } },
    defaultUpstream: REGISTRY_NAME,
    policies: { directory: folder, reloadEvery: 'off' },
    trust: { refresh: 'off' },
    ...config,
  }
  const path = join(directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(settings))
  const command = { command: process.execPath, args: [MAIN, 'serve', '--config', path] }
  const adminUrl = `http://127.0.0.1:${admin}`
  const running = await start('portcullis', command, () => answers(`${adminUrl}/readyz`))
  stack.defer(() => running.stop())
  return {
    running,
    host: `127.0.0.1:${data}`,
    adminUrl,
    async change(documents) {
      await write(documents)
      const reloaded = await fetch(`${adminUrl}/policies/reload`, { method: 'POST' })
      if (!reloaded.ok) throw new Error(`the policies are refused: ${await reloaded.text()}`)
    },
  }
}
