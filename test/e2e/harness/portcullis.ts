import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answers, freePort, start, type Running } from './process.ts'
import { REGISTRY_NAME } from './clients.ts'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))

export type Keyless = { readonly issuer: string; readonly subject: string; readonly trustRoot?: string }

/** One ImagePolicy with one authority, in enforce mode. */
export type PolicyInput = {
  readonly name: string
  /** Matches `registry/repository`. */
  readonly glob: string
  readonly predicateType?: string
} & ({ readonly keyless: Keyless } | { readonly keyPem: string })

function authority(policy: PolicyInput): object {
  const attestations =
    policy.predicateType === undefined
      ? {}
      : { attestations: [{ name: 'wanted', predicateType: policy.predicateType }] }
  if ('keyPem' in policy) return { name: 'key', key: { data: policy.keyPem }, ...attestations }
  const { issuer, subject, trustRoot = 'public-good' } = policy.keyless
  return { name: 'keyless', keyless: { trustRoot, identities: [{ issuer, subject }] }, ...attestations }
}

export function policyDocument(policy: PolicyInput): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: policy.name },
    spec: {
      mode: 'enforce',
      runbook: `https://runbooks.test/${policy.name}`,
      images: [{ glob: policy.glob }],
      authorities: [authority(policy)],
    },
  }
}

export type PortcullisInput = {
  readonly directory: string
  readonly upstreamUrl: string
  readonly policies: readonly PolicyInput[]
  /** Path of a trusted_root.json for the trust root `private`. */
  readonly privateTrustRoot?: string
  /** Entries of `trust.roots` in place of the public-good and the private one. */
  readonly trustRoots?: Readonly<Record<string, object>>
}

export type Portcullis = {
  /** `127.0.0.1:port` of the data listener; the same after a restart. */
  readonly host: string
  readonly adminUrl: string
  output(): string
  /** Stops the process and starts another on the same files. */
  restart(): Promise<void>
  /** The same, but the first process has no time for anything; resolves to the milliseconds until it is ready again. */
  crash(): Promise<number>
  stop(): Promise<void>
}

async function writeConfig(input: PortcullisInput, ports: { data: number; admin: number }): Promise<string> {
  const policies = join(input.directory, 'policies')
  await mkdir(policies, { recursive: true })
  for (const policy of input.policies) {
    await writeFile(join(policies, `${policy.name}.yaml`), JSON.stringify(policyDocument(policy)))
  }
  const pinned =
    input.privateTrustRoot === undefined ? {} : { private: { kind: 'pinned', path: input.privateTrustRoot } }
  const config = {
    listen: {
      data: { host: '127.0.0.1', port: ports.data },
      admin: { host: '127.0.0.1', port: ports.admin },
    },
    dataDirectory: join(input.directory, 'data'),
    upstreams: { [REGISTRY_NAME]: { url: input.upstreamUrl, allowPrivateAddresses: true } },
    defaultUpstream: null,
    trust: { roots: input.trustRoots ?? { 'public-good': { kind: 'public-good' }, ...pinned } },
    policies: input.policies.length === 0 ? {} : { directory: policies, unmatched: 'enforce' },
  }
  const path = join(input.directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(config, undefined, 2))
  return path
}

/** The proxy as an operator starts it, in a process of its own. */
export async function startPortcullis(input: PortcullisInput): Promise<Portcullis> {
  const ports = { data: await freePort(), admin: await freePort() }
  const config = await writeConfig(input, ports)
  const adminUrl = `http://127.0.0.1:${ports.admin}`
  const command = { command: process.execPath, args: [MAIN, 'serve', '--config', config] }
  const launch = (): Promise<Running> => start('portcullis', command, () => answers(`${adminUrl}/readyz`))
  let running = await launch()
  return {
    host: `127.0.0.1:${ports.data}`,
    adminUrl,
    output: () => running.output(),
    restart: async () => {
      await running.stop()
      running = await launch()
    },
    crash: async () => {
      await running.kill()
      const start = performance.now()
      running = await launch()
      return performance.now() - start
    },
    stop: () => running.stop(),
  }
}
