import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answers, freePort, start, type Command, type Running } from '../test/e2e/harness/process.ts'
import { find } from '../test/e2e/harness/tools.ts'
import { BARE, BARE_BLOBS, LOGGING_NGINX, NGINX, OURS, PULL_THROUGH } from './rows.ts'

/** Every program under test runs on this core, and the load generator on the other: nobody gets more than one. */
export const SERVER_CORE = 0
export const GENERATOR_CORE = 1

export type Peer = {
  readonly name: string
  /** `http://127.0.0.1:port`. */
  readonly url: string
  readonly running: Running
}

/** `taskset` becomes the program, so the pid is the program's own. `cores` as taskset lists them: `0` or `0,1`. */
export function pinned(
  cores: number | string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Command {
  return { command: 'taskset', args: ['--cpu-list', String(cores), command, ...args], env, quiet: true }
}

/** A policy that every image below `registry.test` must satisfy by a signature of this key, PEM. */
export function keyPolicy(publicKey: string): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'load' },
    spec: {
      mode: 'enforce',
      images: [{ glob: 'registry.test/**' }],
      authorities: [{ name: 'key', key: { data: publicKey } }],
    },
  }
}

export type PortcullisOptions = {
  /** Configuration, policies and data of this one; the same directory again is a restart with what was kept. */
  readonly directory: string
  /** `host:port` of the registry behind `registry.test`, the default upstream. */
  readonly upstream: string
  readonly policies: readonly object[]
  /** Entries of the configuration file, each in place of the whole one that a peer has otherwise. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string>>
  /** As taskset lists them; default SERVER_CORE. */
  readonly cores?: string
  /** Default OURS. */
  readonly name?: string
}

export type PortcullisPeer = Peer & {
  readonly adminUrl: string
  /** Where its policy documents lie, for scenarios that change them. */
  readonly policiesDirectory: string
}

export async function startPortcullisPeer(options: PortcullisOptions): Promise<PortcullisPeer> {
  const { directory, upstream, env, cores = String(SERVER_CORE), name = OURS } = options
  const [data, admin] = [await freePort(), await freePort()]
  const policiesDirectory = join(directory, 'policies')
  await mkdir(policiesDirectory, { recursive: true })
  for (const [index, policy] of options.policies.entries()) {
    await writeFile(join(policiesDirectory, `load-${index}.yaml`), JSON.stringify(policy))
  }
  const config = {
    listen: { data: { host: '127.0.0.1', port: data }, admin: { host: '127.0.0.1', port: admin } },
    dataDirectory: join(directory, 'data'),
    upstreams: { 'registry.test': { url: `http://${upstream}`, allowPrivateAddresses: true } },
    defaultUpstream: 'registry.test',
    trust: { roots: { 'public-good': { kind: 'public-good' } } },
    policies: { directory: policiesDirectory, unmatched: 'enforce' },
    ...options.config,
  }
  const path = join(directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(config))
  // As operators start it, with the flags that it has there; the shell becomes the program.
  const program = fileURLToPath(new URL('../bin/portcullis', import.meta.url))
  const command = pinned(cores, program, ['serve', '--config', path], {
    NODE_ENV: 'production',
    ...env,
  })
  const adminUrl = `http://127.0.0.1:${admin}`
  const running = await start(name, command, () => answers(`${adminUrl}/readyz`))
  return { name, url: `http://127.0.0.1:${data}`, adminUrl, policiesDirectory, running }
}

/** One at a time, since starting is not what is measured; the stack stops them. Absent ones are left out. */
export async function startPeers(
  stack: AsyncDisposableStack,
  starts: readonly (() => Promise<Peer | undefined>)[],
): Promise<readonly Peer[]> {
  const peers: Peer[] = []
  for (const starting of starts) {
    const peer = await starting()
    if (peer === undefined) continue
    stack.defer(() => peer.running.stop())
    peers.push(peer)
  }
  return peers
}

type Nginx = {
  readonly directory: string
  readonly template: string
  readonly upstream: string
  /** As taskset lists them. */
  readonly cores: string
  readonly workers: number
  /** As the directive has it; default `off`. */
  readonly accessLog?: string
}

async function startNginx({
  directory,
  template,
  upstream,
  cores,
  workers,
  accessLog = 'off',
}: Nginx): Promise<{ host: string; running: Running }> {
  const port = await freePort()
  await mkdir(directory, { recursive: true })
  const text = (await readFile(new URL(template, import.meta.url), 'utf8'))
    .replaceAll('@DIRECTORY@', directory)
    .replaceAll('@PORT@', String(port))
    .replaceAll('@UPSTREAM@', upstream)
    .replaceAll('@ACCESS_LOG@', accessLog)
    // A process that leads others changes its user, who could not read what this one writes.
    .replaceAll(
      '@PROCESSES@',
      workers === 1 ? 'master_process off' : `user root; worker_processes ${workers}`,
    )
  const path = join(directory, 'nginx.conf')
  await writeFile(path, text)
  const host = `127.0.0.1:${port}`
  const command = pinned(cores, find('nginx') ?? 'nginx', ['-e', 'stderr', '-p', directory, '-c', path])
  return { host, running: await start('nginx', command, () => answers(`http://${host}/v2/`)) }
}

/** `host` of the registry as public registries are met: behind a challenge. On the generator's core: it is elsewhere. */
export function startUpstreamFront(
  directory: string,
  upstream: string,
): Promise<{ host: string; running: Running }> {
  return startNginx({
    directory,
    template: 'upstream.conf.template',
    upstream,
    cores: String(GENERATOR_CORE),
    workers: 1,
  })
}

export async function startNginxPeer(
  directory: string,
  upstream: string,
  { workers = 1, cores = String(SERVER_CORE), isLogging = false } = {},
): Promise<Peer> {
  const template = 'nginx.conf.template'
  // Lines go where those of Portcullis go, in pieces of the same size, and are never later.
  const accessLog = isLogging ? '/dev/null requests buffer=64k flush=1s' : 'off'
  const { host, running } = await startNginx({ directory, template, upstream, cores, workers, accessLog })
  return { name: isLogging ? LOGGING_NGINX : NGINX, url: `http://${host}`, running }
}

/** node:http without any work: what is lost between it and Portcullis is Portcullis's own. */
export async function startBarePeer(source: string, accept: string): Promise<Peer> {
  const port = await freePort()
  const program = fileURLToPath(new URL('bare-server.ts', import.meta.url))
  const command = pinned(SERVER_CORE, process.execPath, [program, String(port), source, accept])
  const url = `http://127.0.0.1:${port}`
  return { name: BARE, url, running: await start('bare', command, () => answers(url)) }
}

/** The same for blobs: `registry` as `host:port`, without a challenge. */
export async function startBareBlobsPeer(registry: string): Promise<Peer> {
  const port = await freePort()
  const program = fileURLToPath(new URL('bare-blobs.ts', import.meta.url))
  const command = pinned(SERVER_CORE, process.execPath, [program, String(port), `http://${registry}`])
  const url = `http://127.0.0.1:${port}`
  return { name: BARE_BLOBS, url, running: await start('bare', command, () => answers(`${url}/v2/`)) }
}

export async function startPullThroughPeer(directory: string, upstream: string): Promise<Peer> {
  const port = await freePort()
  await mkdir(directory, { recursive: true })
  const settings = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: join(directory, 'files') },
      cache: { blobdescriptor: 'inmemory' },
    },
    http: { addr: `127.0.0.1:${port}`, secret: 'one-process-only' },
    proxy: { remoteurl: `http://${upstream}` },
  }
  const path = join(directory, 'registry.yml')
  await writeFile(path, JSON.stringify(settings))
  const url = `http://127.0.0.1:${port}`
  const command = pinned(SERVER_CORE, 'docker-registry', ['serve', path], { GOMAXPROCS: '1' })
  const running = await start('docker-registry as a pull-through cache', command, () => answers(`${url}/v2/`))
  return { name: PULL_THROUGH, url, running }
}
