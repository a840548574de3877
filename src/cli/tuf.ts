import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { Agent } from 'undici'
import { TrustError } from '../trust/trust-error.ts'
import { createTufFetch } from '../trust/tuf/fetch.ts'
import { TufFetcher } from '../trust/tuf/fetcher.ts'
import { readInitialRoot } from '../trust/tuf/initial-root.ts'
import { oneLine } from '../trust/tuf/message.ts'
import { explainFailure } from '../trust/tuf/refusal.ts'
import { createUpdater } from '../trust/tuf/updater.ts'
import { EXIT, type CommandIo } from './io.ts'

/**
 * The client that tuf-conformance tests, by its client CLI protocol: the same Updater, fetcher, limits and clock that a
 * mirror refreshes with, on the directory that the protocol names.
 */
type TufOptions = {
  readonly metadataDir: string
  readonly metadataUrl?: string
  readonly targetName?: readonly string[]
  readonly targetBaseUrl?: string
  readonly targetDir?: string
}

const FETCH_TIMEOUT_MS = 30_000

class UsageError extends Error {
  override readonly name = 'UsageError'
}

function required(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new UsageError(`${option} is missing`)
  return value.replace(/\/+$/, '')
}

async function init({ metadataDir }: TufOptions, path: string): Promise<void> {
  const { bytes } = readInitialRoot(path, await readFile(path))
  await mkdir(metadataDir, { recursive: true })
  await writeFile(join(metadataDir, 'root.json'), bytes)
}

async function refresh(options: TufOptions, targetNames: readonly string[]): Promise<void> {
  const url = new URL(required(options.metadataUrl, '--metadata-url')).href.replace(/\/+$/, '')
  const directory = options.metadataDir
  const at = new Date()
  const dispatcher = new Agent()
  const fetcher = new TufFetcher({
    fetch: createTufFetch({ dispatcher, schemes: ['https:', 'http:'] }),
    timeoutMs: FETCH_TIMEOUT_MS,
    signal: new AbortController().signal,
    directory,
  })
  const targets =
    targetNames.length === 0
      ? undefined
      : {
          url: required(options.targetBaseUrl, '--target-base-url'),
          directory: required(options.targetDir, '--target-dir'),
        }
  try {
    const updater = createUpdater({
      directory,
      metadataUrl: url,
      fetcher,
      at,
      ...(targets === undefined ? {} : { targets }),
    })
    await updater.refresh()
    for (const name of targetNames) {
      const target = await updater.getTargetInfo(name)
      if (target === undefined) throw new TrustError('refused', `the repository has no target ${name}`)
      if ((await updater.findCachedTarget(target)) === undefined) await updater.downloadTarget(target)
    }
  } catch (error) {
    if (error instanceof UsageError) throw error
    const root = await readFile(join(directory, 'root.json')).catch(() => undefined)
    throw explainFailure(error, { fetcher, url, at, root })
  } finally {
    await dispatcher.close()
  }
}

async function run(io: CommandIo, work: () => Promise<void>): Promise<void> {
  try {
    await work()
    io.exit(EXIT.ok)
  } catch (error) {
    io.stderr(`tuf: ${oneLine(error instanceof Error ? error.message : String(error))}\n`)
    io.exit(error instanceof UsageError ? EXIT.usage : EXIT.refused)
  }
}

/** Hidden: operators have `portcullis trust`. The options stand before the subcommand, as the protocol has it. */
export function registerTuf(program: Command, io: CommandIo): void {
  const tuf = program
    .command('tuf', { hidden: true })
    .description('A TUF client with the command line that tuf-conformance expects.')
    .requiredOption('--metadata-dir <directory>', 'where the trusted metadata lies')
    .option('--metadata-url <url>', 'the metadata of the repository')
    .option(
      '--target-name <path>',
      'a target to download; may be repeated',
      (name: string, all: string[]) => [...all, name],
      [],
    )
    .option('--target-base-url <url>', 'the targets of the repository')
    .option('--target-dir <directory>', 'where targets go')
  tuf
    .command('init')
    .argument('<trusted-root>', 'the first root.json to trust')
    .action(async (path: string) => await run(io, async () => await init(tuf.opts<TufOptions>(), path)))
  tuf
    .command('refresh')
    .action(async () => await run(io, async () => await refresh(tuf.opts<TufOptions>(), [])))
  tuf.command('download').action(
    async () =>
      await run(io, async () => {
        const options = tuf.opts<TufOptions>()
        const names = options.targetName ?? []
        if (names.length === 0) throw new UsageError('--target-name is missing')
        await refresh(options, names)
      }),
  )
}
