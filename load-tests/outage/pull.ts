import { request } from 'node:http'
import { digestOf } from '../../src/oci/digest.ts'
import type { Outcome } from './expected.ts'
import { TAG, type Image } from './images.ts'

/** Where pulls come from: the address that alerts must name. */
export const CLIENT = '127.0.0.77'

type Reply = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly ms: number
}

export type Pull = {
  /** What the client got, or what it got that it never should. */
  readonly outcome: Outcome | `wrong: ${string}`
  /** The refusal, where there is one. */
  readonly message: string
  readonly ms: number
}

const ACCEPT = 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json'

const OUTCOMES: ReadonlyMap<number, Outcome> = new Map([
  [403, 'refused'],
  [429, 'throttled'],
  [503, 'held'],
])

export function ask(port: number, method: 'GET' | 'HEAD', path: string): Promise<Reply> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const headers = { accept: ACCEPT }
    const options = { host: '127.0.0.1', port, method, path, headers, localAddress: CLIENT, agent: false }
    const outgoing = request(options, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', reject)
      incoming.on('end', () => {
        const { statusCode: status = 0, headers: got } = incoming
        resolve({ status, headers: got, body: Buffer.concat(chunks), ms: performance.now() - started })
      })
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

/** A pull as a client does it: the tag, the manifest by its digest, the configuration; every byte is checked. */
export async function pull(port: number, image: Image): Promise<Pull> {
  const base = `/v2/${image.repository}`
  const byTag = await ask(port, 'GET', `${base}/manifests/${TAG}`)
  const outcome = outcomeOf(byTag)
  const result = (found: Pull['outcome']): Pull => ({
    outcome: found,
    message: messageOf(byTag),
    ms: byTag.ms,
  })
  const head = await ask(port, 'HEAD', `${base}/manifests/${TAG}`)
  if (head.status !== byTag.status) return result(`wrong: GET ${byTag.status}, HEAD ${head.status}`)
  const byDigest = await ask(port, 'GET', `${base}/manifests/${image.digest}`)
  if (outcomeOf(byDigest) !== outcome)
    return result(`wrong: tag ${describe(byTag)}, digest ${describe(byDigest)}`)
  const config = await ask(port, 'GET', `${base}/blobs/${image.config}`)
  if (byTag.status !== 200)
    return config.status === 200 ? result(`wrong: ${byTag.status}, but its blob is served`) : result(outcome)
  if (digestOf(byTag.body) !== image.digest || digestOf(byDigest.body) !== image.digest)
    return result('wrong: other bytes')
  if (config.status !== 200) return result(`wrong: served, but its blob is ${config.status}`)
  return result(digestOf(config.body) === image.config ? outcome : 'wrong: other bytes in a blob')
}

function describe(reply: Reply): string {
  const outcome = outcomeOf(reply)
  return outcome.startsWith('wrong') ? `${reply.status} ${messageOf(reply)}` : outcome
}

export function outcomeOf({ status, headers, body }: Reply): Pull['outcome'] {
  if (status === 200) {
    const warning = String(headers['warning'] ?? '')
    const stance = /served by stance (open|last-verified) of policy/.exec(warning)?.[1]
    if (stance === 'open' || stance === 'last-verified') return stance
    return warning === '' ? 'served' : `wrong: served with ${warning}`
  }
  const outcome = OUTCOMES.get(status)
  const saysWhen = status === 403 || status === 502 || headers['retry-after'] !== undefined
  if (outcome !== undefined && saysWhen) return outcome
  return `wrong: ${status} ${body.toString('utf8').slice(0, 200)}`
}

function messageOf({ status, body }: Reply): string {
  if (status === 200) return ''
  return /"message":"((?:[^"\\]|\\.)*)"/.exec(body.toString('utf8'))?.[1] ?? ''
}
