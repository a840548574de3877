import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTlsAuthority } from '../../src/testing/tls-authority.ts'
import { startHarness, type Harness } from './harness.ts'
import { requestTo, type Reply } from './http.ts'

/** The proxy with a ring for each way of recognising one; see MODES for what they enforce. */
export type RingHarness = Harness & {
  portOf(listener: string): number
  ask(asker: Asker, target: string, method?: string): Promise<Reply>
  /** What a pull comes to: its status, and whether it is warned. */
  pull(asker: Asker, target: string): Promise<string>
}

export type Asker = {
  readonly listener?: string
  readonly from?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Loopback addresses as those of three networks. */
export const NODE = '127.0.0.1'
export const PILOT = '127.0.1.1'
export const LAB = '127.0.2.1'
export const TOKEN = 'b1946ac92492d2347c6235b4d2611184'

/** Of the server and of clients. */
export const AUTHORITY = createTlsAuthority('nodes')
const SERVER = AUTHORITY.issue({ usage: 'serverAuth', names: [{ type: 'dns', value: 'localhost' }] })

/** Of every policy that enforces; the others are enforced in ring `strict`. */
const MODES = { strict: 'enforce', pilot: 'observe', lab: 'off', build: 'off', token: 'off' }

function ringsOf(tokenFile: string): readonly object[] {
  return [
    { name: 'strict', when: [{ listener: 'strict' }] },
    { name: 'pilot', when: [{ header: { name: 'X-Ring', value: 'pilot', from: ['127.0.1.0/24'] } }] },
    { name: 'lab', when: [{ cidrs: ['127.0.2.0/24'] }] },
    { name: 'build', when: [{ clientCertificates: ['URI:spiffe://example.com/build'] }] },
    { name: 'token', when: [{ tokens: { files: [tokenFile] } }] },
  ]
}

function listenersOf(directory: string): readonly object[] {
  const tls = { cert: join(directory, 'crt'), key: join(directory, 'key'), clientCa: join(directory, 'ca') }
  return [
    { name: 'strict', port: 0 },
    { name: 'locked', port: 0, authentication: 'token' },
    { name: 'machines', port: 0, tls },
    { name: 'machines-only', port: 0, tls: { ...tls, clientCertificate: 'required' } },
  ]
}

type PolicyText = { spec: { mode: string; rings?: object } }

function withRings(text: string): string {
  const documents = text.split('\n---\n').map((document): PolicyText => JSON.parse(document))
  for (const { spec } of documents) spec.rings = spec.mode === 'enforce' ? MODES : { strict: 'enforce' }
  return documents.map((document) => JSON.stringify(document)).join('\n---\n')
}

export async function startRings(): Promise<RingHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'rings-'))
  const files = { token: `${TOKEN}\n`, crt: SERVER.cert, key: SERVER.key, ca: AUTHORITY.ca }
  const writes = Object.entries(files).map(([name, text]) => writeFile(join(directory, name), text))
  await Promise.all(writes)
  const listen = { data: { port: 0 }, admin: { port: 0 }, additional: listenersOf(directory) }
  const config = { listen, rings: ringsOf(join(directory, 'token')) }
  const harness = await startHarness({ config })
  await harness.editPolicies(withRings)
  await harness.restart()
  const portOf: RingHarness['portOf'] = (listener) =>
    harness.running().clients.get(listener)?.address.port ?? assert.fail(listener)
  const ask: RingHarness['ask'] = async (asker, target, method = 'GET') => {
    const { listener = 'data', from = NODE, headers = {} } = asker
    return await requestTo(portOf(listener), { method, target, headers, localAddress: from })
  }
  return {
    ...harness,
    portOf,
    ask,
    async pull(asker, target) {
      const [head, body] = [await ask(asker, target, 'HEAD'), await ask(asker, target)]
      assert.equal(head.status, body.status, 'HEAD and GET agree')
      return `${body.status}${body.headers['warning'] === undefined ? '' : ' warned'}`
    },
    async [Symbol.asyncDispose]() {
      await harness[Symbol.asyncDispose]()
      await rm(directory, { recursive: true })
    },
  }
}

export const ASKERS = {
  default: {},
  strict: { listener: 'strict', from: LAB },
  pilot: { from: PILOT, headers: { 'X-Ring': 'pilot' } },
  lab: { from: LAB },
  token: { headers: { authorization: `Bearer ${TOKEN}` } },
} as const satisfies Readonly<Record<string, Asker>>
