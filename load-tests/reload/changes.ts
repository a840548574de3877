import { setTimeout as pause } from 'node:timers/promises'
import type { PortcullisPeer } from '../peers.ts'
import type { ReloadWorld, Side, Subject } from './world.ts'

/** One way to say that another signer counts, and to hear that it does. */
export type Change = {
  readonly name: string
  readonly subject: Subject
  /** Settles when the proxy has said so. */
  apply(to: Side): Promise<void>
}

const LIMIT_MS = 30_000
const POLL_MS = 20

export function changesOf(world: ReloadWorld, proxy: PortcullisPeer): readonly Change[] {
  const written =
    (subject: Subject, tell: () => Promise<void>): Change['apply'] =>
    async (side) => {
      await world.write(subject, side)
      await tell()
    }
  const policyVersion = async () => await field(`${proxy.adminUrl}/policies`, 'version')
  const seen = (tell: () => void): Change['apply'] => {
    return async (side) => {
      const before = await policyVersion()
      await world.write('policy', side)
      tell()
      await until(async () => (await policyVersion()) !== before)
    }
  }
  const refresh = (name: string) => async () =>
    await post(`${proxy.adminUrl}/trust/refresh`, { names: [name] })
  return [
    {
      name: 'policies: POST /policies/reload',
      subject: 'policy',
      apply: written('policy', () => post(`${proxy.adminUrl}/policies/reload`, {})),
    },
    {
      name: 'policies: SIGHUP',
      subject: 'policy',
      apply: seen(() => process.kill(proxy.running.pid, 'SIGHUP')),
    },
    { name: 'policies: the directory changed', subject: 'policy', apply: seen(() => undefined) },
    { name: 'trust: a file of a key set', subject: 'keys', apply: written('keys', refresh('release')) },
    { name: 'trust: a pinned root', subject: 'pinned', apply: written('pinned', refresh('pinned')) },
    { name: 'trust: a new target by TUF', subject: 'tuf', apply: written('tuf', refresh('mirrored')) },
  ]
}

async function post(url: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text.slice(0, 500)}`)
}

async function field(url: string, name: string): Promise<unknown> {
  const value: unknown = await (await fetch(url)).json()
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const started = performance.now()
  while (!(await condition())) {
    if (performance.now() - started > LIMIT_MS)
      throw new Error('the proxy never said that it has the new policies')
    await pause(POLL_MS)
  }
}
