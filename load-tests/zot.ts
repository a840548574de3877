import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { answers, freePort, start } from '../test/e2e/harness/process.ts'
import { find } from '../test/e2e/harness/tools.ts'
import { pinned, SERVER_CORE, type Peer } from './peers.ts'
import { ZOT } from './rows.ts'

/**
 * zot as an on-demand pull-through cache, where it is to be had: PORTCULLIS_LOAD_ZOT says where, or PATH. Undefined
 * otherwise: no distribution packages it.
 */
export async function startZotPeer(directory: string, upstream: string): Promise<Peer | undefined> {
  const program = find(process.env['PORTCULLIS_LOAD_ZOT'] ?? 'zot')
  if (program === undefined) return undefined
  const port = await freePort()
  await mkdir(directory, { recursive: true })
  const settings = {
    distSpecVersion: '1.1.1',
    storage: { rootDirectory: join(directory, 'files'), gc: false, dedupe: false },
    http: { address: '127.0.0.1', port: String(port) },
    log: { level: 'error' },
    extensions: {
      sync: {
        enable: true,
        registries: [
          {
            urls: [`http://${upstream}`],
            onDemand: true,
            tlsVerify: false,
            content: [{ prefix: '**' }],
          },
        ],
      },
    },
  }
  const path = join(directory, 'zot.json')
  await writeFile(path, JSON.stringify(settings))
  const url = `http://127.0.0.1:${port}`
  const command = pinned(SERVER_CORE, program, ['serve', path], { GOMAXPROCS: '1' })
  return { name: ZOT, url, running: await start(ZOT, command, () => answers(`${url}/v2/`)) }
}
