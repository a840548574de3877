import type { Command } from 'commander'
import { configJsonSchema, type Config } from '../config/schema.ts'
import { loadPolicyDirectory } from '../config/policy-files.ts'
import { gitRevision } from '../policy-source/git-revision.ts'
import { problemText } from '../policy/problem.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'

export function registerConfig(program: Command, io: CommandIo): void {
  const config = program
    .command('config')
    .description('check the configuration, or print its schema')
    .exitOverride()
  config
    .command('check')
    .description('load configuration and policies as serve would, and report everything that is wrong')
    .option('-c, --config <file>', 'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)')
    .action(async (options: { config?: string }) => io.exit(await check(options.config, io)))
  config
    .command('schema')
    .description('print the JSON Schema of the configuration file')
    .action(() => io.stdout(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`))
}

async function check(path: string | undefined, io: CommandIo): Promise<number> {
  const config = await configure(path, io)
  if (config === undefined) return EXIT.usage
  const policies = await loadPolicyDirectory(config)
  if (!policies.ok) {
    io.stderr(policies.problems.map((problem) => `portcullis: ${problemText(problem)}\n`).join(''))
    return EXIT.usage
  }
  const count = (mode: string) => policies.set.policies.filter((policy) => policy.mode === mode).length
  const { policies: all, unmatched } = policies.set
  io.stdout(
    `ok: ${config.upstreams.size} upstreams; ${all.length} policies (${count('enforce')} enforce, ${count('observe')} observe, ` +
      `${count('off')} off); images without a policy: ${unmatched}\n` +
      (await sourceText(config)),
  )
  return EXIT.ok
}

/** Where the policies come from, where that is more than a directory: a line, or nothing. */
async function sourceText({ policies: { directory, bundle } }: Config): Promise<string> {
  if (bundle !== undefined) return `policies: ${bundle.image}; see portcullis policy bundle verify\n`
  const revision = directory === undefined ? undefined : await gitRevision(directory)
  return revision === undefined ? '' : `policies: ${directory ?? ''} at commit ${revision}\n`
}
