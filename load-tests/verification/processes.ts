import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cosignPath } from '../../test/e2e/harness/cosign.ts'
import { must, type Command } from '../../test/e2e/harness/process.ts'
import { find } from '../../test/e2e/harness/tools.ts'
import { SERVER_CORE } from '../peers.ts'
import { IDENTITY, type Image, type VerificationWorld } from './world.ts'

const BIN = fileURLToPath(new URL('../../bin/portcullis', import.meta.url))

/** Milliseconds on the clock, and of user and system time. */
export type Timed = { readonly wallMs: number; readonly cpuMs: number }

/** A whole process on the servers' core, timed by bash: node does not tell what a child used. Throws where it fails. */
export async function timed({ command, args, env = {} }: Command): Promise<Timed> {
  // What the program prints would otherwise come behind the times now and then.
  const script = 'TIMEFORMAT="%3R %3U %3S"; time "$@" > /dev/null'
  const output = await must({
    command: 'taskset',
    args: ['--cpu-list', String(SERVER_CORE), 'bash', '-c', script, 'bash', command, ...args],
    env,
  })
  const figures = /(\S+) (\S+) (\S+)\s*$/
    .exec(output)
    ?.slice(1)
    .map((text) => Number(text) * 1000)
  const [wall, user, system] = figures ?? []
  if (wall === undefined || user === undefined || system === undefined)
    throw new Error(`bash told no times: ${output}`)
  return { wallMs: wall, cpuMs: user + system }
}

/** Where .ci/run keeps the one that it builds, unless the environment or PATH has another. */
export function findCosign(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const found = cosignPath(3) ?? find(join(cache, 'portcullis-ci/cosign-v3.1.3/cosign'))
  if (found === undefined)
    throw new Error('no cosign 3: PORTCULLIS_E2E_COSIGN3 says where, and .ci/run builds one')
  // The end-to-end tests' own steps, which sign here, look for it there.
  process.env['PORTCULLIS_E2E_COSIGN3'] = found
  return found
}

export type Cosign = { readonly program: string; readonly home: string }

/** With a home of its own, and no way out of this machine. */
function cosignCommand({ program, home }: Cosign, args: readonly string[]): Command {
  const nowhere = 'http://127.0.0.1:9'
  const env = { HOME: home, HTTPS_PROXY: nowhere, HTTP_PROXY: nowhere, NO_PROXY: '127.0.0.1' }
  return { command: program, args, env }
}

export function cosignVersion(cosign: Cosign): Command {
  return cosignCommand(cosign, ['version'])
}

export function cosignVerify(cosign: Cosign, world: VerificationWorld, image: Image): Command {
  const demanded =
    image.signedBy === 'key'
      ? [`--key=${world.publicKeyFile}`, '--insecure-ignore-tlog=true']
      : [
          `--trusted-root=${world.trustedRoot}`,
          `--certificate-identity=${IDENTITY.subject}`,
          `--certificate-oidc-issuer=${IDENTITY.issuer}`,
        ]
  const name = `${world.host}/${image.repository}@${image.digest}`
  return cosignCommand(cosign, [
    'verify',
    ...demanded,
    '--allow-http-registry',
    '--allow-insecure-registry',
    name,
  ])
}

export function portcullisVerify(config: string, { repository, digest }: Image): Command {
  return { command: BIN, args: ['verify', '--config', config, `registry.test/${repository}@${digest}`] }
}
