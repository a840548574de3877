import { generateKeyPairSync } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { registerTrustPublish, type PublishWorld } from '../../../cli/trust-publish.ts'
import type { Disk } from '../disk.ts'

type Ran = { readonly code: number | undefined; readonly out: string; readonly err: string }

/** `portcullis trust publish` in this process, in a directory of its own, on a clock of its own. */
export type Publisher = AsyncDisposable & {
  readonly directory: string
  /** `repository` in the directory. */
  readonly repository: string
  readonly published: string
  readonly path: (name: string) => string
  /** Makes `NAME.pem` (mode 0600) and `NAME.pub` in the directory. */
  keys(...names: string[]): Promise<void>
  /** `--repository` is added to the commands that take it, unless there is a `--root`. */
  run(...args: string[]): Promise<Ran>
  /** Runs on a disk that breaks down at this many renames, as a killed process would. */
  killedAfter(renames: number, ...args: string[]): Promise<Ran>
  /** Throws unless the exit code is 0. */
  must(...args: string[]): Promise<string>
  setClock(now: Date): void
}

const KEY_OPTIONS = { format: 'pem' } as const

export async function createPublisher(options: Partial<PublishWorld> = {}): Promise<Publisher> {
  const directory = await fs.mkdtemp(join(tmpdir(), 'portcullis-publish-'))
  const repository = join(directory, 'repository')
  const path = (name: string) => join(directory, name)
  let clock: Date | undefined
  const worldOn = (disk: Disk): PublishWorld => ({
    connectKms: () => Promise.reject(new Error('no KMS here')),
    now: () => clock ?? new Date(),
    ...options,
    disk,
  })
  const runOn = (disk: Disk, args: readonly string[]) =>
    runCommand(args.includes('--root') ? args : [...args, '--repository', repository], worldOn(disk))
  const run = (...args: string[]) => runOn(options.disk ?? fs, args)
  return {
    directory,
    repository,
    published: join(repository, 'public'),
    path,
    keys: async (...names) => {
      for (const name of names) {
        const { privateKey, publicKey } = generateKeyPairSync('ed25519')
        const pem = privateKey.export({ ...KEY_OPTIONS, type: 'pkcs8' })
        await fs.writeFile(path(`${name}.pem`), pem, { mode: 0o600 })
        await fs.writeFile(path(`${name}.pub`), publicKey.export({ ...KEY_OPTIONS, type: 'spki' }))
      }
    },
    run,
    killedAfter: (renames, ...args) => runOn(breakingDisk(renames), args),
    must: async (...args) => {
      const { code, out, err } = await run(...args)
      if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${err}${out}`)
      return out
    },
    setClock: (now) => {
      clock = now
    },
    [Symbol.asyncDispose]: () => fs.rm(directory, { recursive: true, force: true }),
  }
}

async function runCommand(args: readonly string[], world: PublishWorld): Promise<Ran> {
  let [code, out, err]: [number | undefined, string, string] = [undefined, '', '']
  const io = {
    stdout: (text: string) => void (out += text),
    stderr: (text: string) => void (err += text),
    env: {},
    exit: (value: number) => void (code = value),
  }
  const trust = new Command('trust')
    .exitOverride()
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
  registerTrustPublish(trust, io, world)
  try {
    await trust.parseAsync(['publish', ...args], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    code = 3
  }
  return { code, out, err }
}

/** Every rename is one file made visible: after this many nothing works any more. */
function breakingDisk(renames: number): Disk {
  let left = renames
  const alive = <T>(work: () => Promise<T>): Promise<T> =>
    left < 0 ? Promise.reject(new Error('killed')) : work()
  return {
    ...fs,
    open: (path, flags, mode) => alive(() => fs.open(path, flags, mode)),
    mkdir: (path, mode) => alive(() => fs.mkdir(path, mode)),
    chmod: (path, mode) => alive(() => fs.chmod(path, mode)),
    rm: (path, how) => alive(() => fs.rm(path, how)),
    rename: (from, to) => {
      left -= 1
      return alive(() => fs.rename(from, to))
    },
  }
}
