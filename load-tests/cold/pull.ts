import { Agent, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { MANIFEST_ACCEPT } from '../measure.ts'
import { DIRECT, TAG, type ColdImage } from './world.ts'

/** Asks over keep-alive connections: opening them is not what is measured. */
export class Puller {
  readonly #agent = new Agent({ keepAlive: true })

  /** Milliseconds until the manifest of the image was here, every byte of it; rejects where it was not. */
  async byTag(base: string, image: ColdImage): Promise<number> {
    return await this.#pull(base, image, {})
  }

  /** The same from the registry itself. */
  async direct(host: string, image: ColdImage): Promise<number> {
    return await this.#pull(`http://${host}`, image, { 'user-agent': DIRECT })
  }

  /** Asks the registry for all that a verification needs, as the proxy would, and makes nothing of it. */
  async evidence(host: string, { evidence }: ColdImage): Promise<void> {
    const headers = { accept: MANIFEST_ACCEPT, 'user-agent': DIRECT }
    for (const wave of evidence)
      await Promise.all(wave.map((path) => get(this.#agent, `http://${host}${path}`, headers)))
  }

  close(): void {
    this.#agent.destroy()
  }

  async #pull(base: string, image: ColdImage, headers: Record<string, string>): Promise<number> {
    const started = performance.now()
    const url = `${base}/v2/${image.repository}/manifests/${TAG}`
    const { status, body } = await get(this.#agent, url, { accept: MANIFEST_ACCEPT, ...headers })
    const ms = performance.now() - started
    if (status === 200 && body.equals(image.manifest)) return ms
    throw new Error(`${image.repository}: ${status} ${body.toString('utf8', 0, 300)}`)
  }
}

type Got = { readonly status: number; readonly body: Buffer }

async function get(agent: Agent, url: string, headers: Record<string, string>): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>()
  const outgoing = request(url, { agent, headers }, (incoming) => {
    buffer(incoming).then((body) => resolve({ status: incoming.statusCode ?? 0, body }), reject)
  })
  outgoing.on('error', reject).end()
  return await promise
}
