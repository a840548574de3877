import { writeFile } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import type { Command } from 'commander'
import type { Config } from '../config/load.ts'
import { loadPolicyDirectory } from '../config/policy-files.ts'
import { keyReferencesOf } from '../policy/bind.ts'
import { problemText } from '../policy/problem.ts'
import { StoreError } from '../store/error.ts'
import { lockDirectory } from '../store/lock.ts'
import { openTrust, type OpenTrust, type TrustListener } from '../trust/open.ts'
import { TrustError } from '../trust/trust-error.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'
import { registerTrustPublish } from './trust-publish.ts'
import { RunningTrust } from './trust-running.ts'
import { trustText, type TrustReport } from './trust-text.ts'

type Options = { config?: string; json?: boolean; out?: string }

/** What the commands ask, of the data directory or of the proxy that has it open. */
export type TrustAccess = {
  report(): Promise<TrustReport>
  /** Renews all sources, or those of the names; what went wrong by source. */
  refresh(names: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** The `trusted_root.json` that is trusted now under the name. */
  document(name: string): Promise<string | undefined>
  close(): Promise<void>
}

/** Whoever runs a command sees its outcome, and needs no events. */
const SILENT: TrustListener = {
  onKeeper: () => undefined,
  onMirror: () => undefined,
  onKey: () => undefined,
}
const REFRESH_LIMIT_MS = 60_000
const CONFIG = [
  '-c, --config <file>',
  'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)',
] as const

export function registerTrust(program: Command, io: CommandIo): void {
  const trust = program.command('trust').description('see, renew, export and publish what is trusted')
  trust
    .command('init [names...]')
    .description('fetch what has never been had yet, so that the first start needs no network')
    .option(...CONFIG)
    .action(async (names: string[], options: Options) =>
      io.exit(await withAccess(options, io, (access) => init(access, names, io))),
    )
  trust
    .command('refresh [names...]')
    .description('renew trust roots and keys now; a running proxy is asked to')
    .option(...CONFIG)
    .action(async (names: string[], options: Options) =>
      io.exit(await withAccess(options, io, (access) => refresh(access, names, io))),
    )
  trust
    .command('status')
    .description(
      'show every root: version, age, expiry of each role, when it warns, when it stops, keys and windows',
    )
    .option(...CONFIG)
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 fresh, 2 something is stale or unusable, 3 usage or configuration.',
    )
    .action(async (options: Options) =>
      io.exit(await withAccess(options, io, (access) => status(access, options, io))),
    )
  trust
    .command('export <name>')
    .description('write the trusted_root.json that is trusted now')
    .option(...CONFIG)
    .option('-o, --out <file>', 'file to write (default: standard output)')
    .action(async (name: string, options: Options) =>
      io.exit(await withAccess(options, io, (access) => exportRoot(access, { ...options, name }, io))),
    )
  registerTrustPublish(trust, io)
}

async function init(access: TrustAccess, names: readonly string[], io: CommandIo): Promise<number> {
  const { sources } = await access.report()
  const missing = sources.filter(({ state }) => state === 'unusable').map(({ name }) => name)
  const wanted = names.length === 0 ? missing : names
  if (wanted.length === 0) {
    io.stdout('nothing is missing\n')
    return EXIT.ok
  }
  return await refresh(access, wanted, io)
}

async function refresh(access: TrustAccess, names: readonly string[], io: CommandIo): Promise<number> {
  const { sources } = await access.report()
  const known = sources.map(({ name }) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    io.stderr(`portcullis: found ${JSON.stringify(unknown)}, expected one of ${known.join(', ')}\n`)
    return EXIT.usage
  }
  const failed = await access.refresh(names)
  const after = await access.report()
  for (const { name, documents } of after.sources) {
    if (names.length > 0 && !names.includes(name)) continue
    const problem = failed.get(name)
    const is = documents.map(({ version }) => version).join(', ')
    io.stdout(`${name}: ${problem ?? `renewed${is === '' ? '' : `, ${is}`}`}\n`)
  }
  return failed.size === 0 ? EXIT.ok : EXIT.undetermined
}

async function status(access: TrustAccess, { json }: Options, io: CommandIo): Promise<number> {
  const report = await access.report()
  io.stdout(json === true ? `${JSON.stringify(report, undefined, 2)}\n` : trustText(report, new Date()))
  return report.sources.every(({ state }) => state === 'fresh') ? EXIT.ok : EXIT.undetermined
}

async function exportRoot(
  access: TrustAccess,
  { name, out }: Options & { name: string },
  io: CommandIo,
): Promise<number> {
  const document = await access.document(name)
  if (document === undefined) {
    io.stderr(`portcullis: found no usable trust root ${JSON.stringify(name)}; see portcullis trust status\n`)
    return EXIT.undetermined
  }
  if (out === undefined) io.stdout(document)
  else await writeFile(out, document)
  return EXIT.ok
}

/** The data directory has one owner: where that is a running proxy, the proxy is asked. */
async function withAccess(
  options: Options,
  io: CommandIo,
  work: (access: TrustAccess) => Promise<number>,
): Promise<number> {
  const config = await configure(options.config, io)
  if (config === undefined) return EXIT.usage
  const policies = await loadPolicyDirectory(config)
  if (!policies.ok) {
    io.stderr(policies.problems.map((problem) => `portcullis: ${problemText(problem)}\n`).join(''))
    return EXIT.usage
  }
  let access: TrustAccess | undefined
  try {
    const ofBundle = (config.policies.bundle?.signers ?? []).flatMap(({ kms }) => kms ?? [])
    access = await open(config, [...keyReferencesOf(policies.set), ...ofBundle])
    return await work(access)
  } catch (error) {
    if (!(error instanceof TrustError) && !(error instanceof StoreError)) throw error
    io.stderr(`portcullis: ${error.message}\n`)
    return error instanceof TrustError && error.code === 'unavailable' ? EXIT.undetermined : EXIT.usage
  } finally {
    await access?.close()
  }
}

async function open(config: Config, references: readonly string[]): Promise<TrustAccess> {
  try {
    const unlock = lockDirectory(config.dataDirectory)
    return own(
      await openTrust(config, {
        references,
        listener: SILENT,
        now: () => new Date(),
        elapsed: () => performance.now(),
        random: Math.random,
      }),
      unlock,
    )
  } catch (error) {
    if (error instanceof StoreError && error.code === 'in-use') return new RunningTrust(config.listen.admin)
    throw error
  }
}

function own(trust: OpenTrust, unlock: () => void): TrustAccess {
  const { keeper } = trust
  return {
    report: async () => ({ version: keeper.snapshot.version, sources: keeper.status() }),
    refresh: (names) =>
      keeper.refresh(names.length === 0 ? 'all' : names, AbortSignal.timeout(REFRESH_LIMIT_MS)),
    document: async (name) => keeper.snapshot.roots.get(name)?.[0]?.json,
    close: async () => {
      await trust.close()
      unlock()
    },
  }
}
