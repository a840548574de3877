import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { find } from './tools.ts'
import { must, run, start, type Result, type Running } from './process.ts'

/** The registry's name as clients and policies write it. Reserved (RFC 2606), so nothing answers to it but the proxy. */
export const REGISTRY_NAME = 'registry.test'

export type Client = {
  readonly name: string
  /** `image` without registry: `repository:tag` or `repository@digest`. */
  pull(image: string): Promise<Result>
  /** Forgets every image, so that the next pull is a cold one. */
  clean(): Promise<void>
  stop(): Promise<void>
}

export const CLIENT_TOOLS = {
  docker: ['dockerd', 'docker', 'containerd', 'runc'],
  containerd: ['containerd', 'ctr'],
  podman: ['podman'],
  skopeo: ['skopeo'],
} as const

export type ClientName = keyof typeof CLIENT_TOOLS

const NOTHING_TO_STOP = async (): Promise<void> => {}

function program(name: string): string {
  return find(name) ?? name
}

/** Classic image store; the proxy is named in the reference, so the daemon knows no other host. */
async function startDocker(directory: string, proxyHost: string): Promise<Client> {
  const socket = `unix://${join(directory, 'docker.sock')}`
  const docker = (...args: readonly string[]) => ({
    command: program('docker'),
    args: ['--host', socket, ...args],
    env: { DOCKER_CONFIG: join(directory, 'config') },
  })
  const daemon: Running = await start(
    'dockerd',
    {
      command: program('dockerd'),
      args: [
        '--bridge=none',
        '--iptables=false',
        '--ip6tables=false',
        '--storage-driver=vfs',
        `--host=${socket}`,
        `--data-root=${join(directory, 'data')}`,
        `--exec-root=${join(directory, 'exec')}`,
        `--pidfile=${join(directory, 'docker.pid')}`,
        '--max-download-attempts=1',
      ],
    },
    async () => (await run(docker('version'), 5_000)).ok,
  )
  return {
    name: 'docker',
    pull: (image) => run(docker('pull', `${proxyHost}/${REGISTRY_NAME}/${image}`)),
    clean: async () => void (await must(docker('image', 'prune', '--all', '--force'))),
    stop: () => daemon.stop(),
  }
}

export type Containerd = Client & {
  /** Writes hosts.toml: the proxy is the only `[host]`; `server` is what containerd falls back to. */
  useServer(serverUrl: string): Promise<void>
}

async function startContainerd(directory: string, proxyHost: string): Promise<Containerd> {
  const socket = join(directory, 'containerd.sock')
  const hosts = join(directory, 'hosts')
  const config = join(directory, 'config.toml')
  const text = [
    'version = 2',
    `root = "${join(directory, 'root')}"`,
    `state = "${join(directory, 'state')}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\n  address = "${socket}"`,
    `[ttrpc]\n  address = "${socket}.ttrpc"`,
  ]
  await writeFile(config, text.join('\n'))
  const ctr = (...args: readonly string[]) => ({
    command: program('ctr'),
    args: ['--address', socket, ...args],
  })
  const command = { command: program('containerd'), args: ['--config', config] }
  const daemon: Running = await start(
    'containerd',
    command,
    async () => (await run(ctr('version'), 5_000)).ok,
  )
  const useServer = async (serverUrl: string): Promise<void> => {
    const folder = join(hosts, REGISTRY_NAME)
    await mkdir(folder, { recursive: true })
    const lines = [`server = "${serverUrl}"`, `[host."http://${proxyHost}"]`, '']
    await writeFile(join(folder, 'hosts.toml'), lines.join('\n'))
  }
  await useServer(`http://${proxyHost}`)
  const pullArgs = ['images', 'pull', '--snapshotter', 'native', '--hosts-dir', hosts]
  return {
    name: 'containerd',
    useServer,
    pull: (image) => run(ctr(...pullArgs, `${REGISTRY_NAME}/${image}`)),
    clean: async () => {
      const names = (await must(ctr('images', 'ls', '-q'))).split('\n').filter((name) => name !== '')
      if (names.length > 0) await must(ctr('images', 'rm', '--sync', ...names))
    },
    stop: () => daemon.stop(),
  }
}

/** Remapped location: the proxy is the registry, nothing is left to fall back to. */
function remapped(proxyHost: string): readonly string[] {
  return [
    '[[registry]]',
    `prefix = "${REGISTRY_NAME}"`,
    `location = "${proxyHost}/${REGISTRY_NAME}"`,
    'insecure = true',
  ]
}

/**
 * The proxy as a mirror of a registry that is reachable and blocked. Prefix and location have to be the same: whether a host
 * is blocked is looked up by the location (containers/image docker_client.go), and a remapped one is not found.
 */
function blockedMirror(proxyHost: string, registryHost: string): readonly string[] {
  return [
    '[[registry]]',
    `prefix = "${registryHost}"`,
    `location = "${registryHost}"`,
    'insecure = true',
    'blocked = true',
    '[[registry.mirror]]',
    `location = "${proxyHost}/${REGISTRY_NAME}"`,
    'insecure = true',
  ]
}

async function writeRegistriesConf(directory: string, lines: readonly string[]): Promise<string> {
  const path = join(directory, 'registries.conf')
  await writeFile(path, [...lines, ''].join('\n'))
  return path
}

async function acceptAnything(directory: string): Promise<string> {
  const path = join(directory, 'policy.json')
  await writeFile(path, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  return path
}

async function preparePodman(directory: string, registries: readonly string[]): Promise<Client> {
  const registriesConf = await writeRegistriesConf(directory, registries)
  const policy = await acceptAnything(directory)
  const podman = (...args: readonly string[]) => ({
    command: program('podman'),
    args: [
      `--root=${join(directory, 'root')}`,
      `--runroot=${join(directory, 'run')}`,
      `--tmpdir=${join(directory, 'tmp')}`,
      '--storage-driver=vfs',
      '--cgroup-manager=cgroupfs',
      '--events-backend=none',
      ...args,
    ],
    env: { CONTAINERS_REGISTRIES_CONF: registriesConf },
  })
  return {
    name: 'podman',
    pull: (image) => run(podman('pull', `--signature-policy=${policy}`, `${REGISTRY_NAME}/${image}`)),
    clean: async () => void (await must(podman('rmi', '--all', '--force'))),
    stop: NOTHING_TO_STOP,
  }
}

async function prepareSkopeo(
  directory: string,
  registries: readonly string[],
  registryName = REGISTRY_NAME,
): Promise<Client> {
  const registriesConf = await writeRegistriesConf(directory, registries)
  const policy = await acceptAnything(directory)
  const globals = [`--registries-conf=${registriesConf}`, `--policy=${policy}`]
  return {
    name: 'skopeo',
    pull: async (image) => {
      const target = await mkdtemp(join(directory, 'image-'))
      const source = `docker://${registryName}/${image}`
      try {
        return await run({ command: program('skopeo'), args: [...globals, 'copy', source, `dir:${target}`] })
      } finally {
        await rm(target, { recursive: true, force: true })
      }
    },
    clean: NOTHING_TO_STOP,
    stop: NOTHING_TO_STOP,
  }
}

/** Starts one client with everything of its own under `directory`; `proxyHost` is the proxy's `127.0.0.1:port`. */
export async function startClient(name: ClientName, directory: string, proxyHost: string): Promise<Client> {
  const own = join(directory, name)
  await mkdir(own, { recursive: true })
  switch (name) {
    case 'docker':
      return await startDocker(own, proxyHost)
    case 'containerd':
      return await startContainerd(own, proxyHost)
    case 'podman':
      return await preparePodman(own, remapped(proxyHost))
    case 'skopeo':
      return await prepareSkopeo(own, remapped(proxyHost))
  }
}

export async function startContainerdClient(directory: string, proxyHost: string): Promise<Containerd> {
  const own = join(directory, 'containerd')
  await mkdir(own, { recursive: true })
  return await startContainerd(own, proxyHost)
}

/** skopeo for images under the real registry's own name, `registryHost`. */
export async function startBlockedMirrorClient(
  directory: string,
  proxyHost: string,
  registryHost: string,
): Promise<Client> {
  const own = join(directory, 'blocked-mirror')
  await mkdir(own, { recursive: true })
  return await prepareSkopeo(own, blockedMirror(proxyHost, registryHost), registryHost)
}
