import { Option, type Command } from 'commander'
import type * as z from 'zod'
import type { Config } from '../config/load.ts'
import {
  adminUrl,
  AdminError,
  askAdmin,
  type AdminAnswer,
  type AdminRequest,
  type Refused,
} from './admin-client.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'
import { historyAnswer, promotedAnswer, reportAnswer, type PromotedAnswer } from './rollout-answers.ts'
import { makeEdit, prepareEdit, versionOnDisk, type FileChange } from './rollout-edit.ts'
import { changeText, gapsText, historyText, plain, promotionLines, statusText } from './rollout-text.ts'

type Options = { config?: string; admin?: string; json?: boolean; policy?: string; ring?: string }
type PromoteOptions = Omit<Options, 'policy' | 'ring'> & {
  to: 'observe' | 'enforce'
  override?: string
  by?: string
  print?: boolean
  dryRun?: boolean
}
type Step = { readonly policy: string; readonly ring: string } & PromoteOptions

/** A running proxy, its configuration, and the way to both. */
type Proxy = {
  readonly io: CommandIo
  readonly config: Config
  readonly ask: <T>(request: AdminRequest, schema: z.ZodType<T>) => Promise<AdminAnswer<T>>
}

/** What the proxy takes as a name. */
const BY_LENGTH_MAX = 64

const EXIT_CODES =
  '\nExit codes: 0 ok, 1 refused, 2 the proxy does not answer or the file is not written, 3 usage.'

export function registerRollout(program: Command, io: CommandIo, fetch = globalThis.fetch): void {
  const rollout = program
    .command('rollout')
    .description('see how far policies are in which ring, and take them on')
    .addHelpText('after', EXIT_CODES)
  const command = (name: string, description: string): Command =>
    rollout
      .command(name)
      .description(description)
      .option(
        '-c, --config <file>',
        'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)',
      )
      .option('--admin <url>', 'admin listener of the proxy (default: listen.admin of the configuration)')
  const run = async (options: Options, work: (proxy: Proxy) => Promise<number>): Promise<void> =>
    io.exit(await withProxy(options, { io, fetch }, work))

  const shown = [
    ['status', 'coverage, would-blocks and exit criteria of every policy in every ring', statusText],
    ['gaps', 'the images that would be blocked, and why', gapsText],
  ] as const
  for (const [name, description, text] of shown) {
    command(name, description)
      .option('--policy <name>', 'only this policy')
      .option('--ring <name>', 'only this ring')
      .option('--json', 'print it as JSON')
      .action(async (options: Options) => await run(options, (proxy) => show(proxy, options, text)))
  }
  command('history', 'who promoted what when, on what grounds')
    .option('--json', 'print it as JSON')
    .action(async (options: Options) => await run(options, (proxy) => history(proxy, options)))
  command('promote <policy> <ring>', 'give a policy its next mode in a ring, if its criteria hold')
    .addOption(new Option('--to <mode>', 'the mode').choices(['observe', 'enforce']).default('enforce'))
    .option('--override <reason>', 'promote though criteria do not hold; the reason is recorded')
    .option('--by <who>', 'who decides (default: $USER)')
    .option('--print', 'record it and show the change, for policies that are kept in Git; write nothing')
    .option('--dry-run', 'show what would be, record nothing and write nothing')
    .action(async (policy: string, ring: string, options: PromoteOptions) => {
      await run(options, (proxy) => promote(proxy, { ...options, policy, ring }))
    })
}

async function withProxy(
  options: Options,
  { io, fetch }: { io: CommandIo; fetch: typeof globalThis.fetch },
  work: (proxy: Proxy) => Promise<number>,
): Promise<number> {
  const config = await configure(options.config, io)
  if (config === undefined) return EXIT.usage
  const admin = options.admin === undefined ? adminUrl(config.listen.admin) : URL.parse(options.admin)
  if (admin === null || !/^https?:$/.test(admin.protocol))
    return fail(io, `--admin ${options.admin} is no http URL`, EXIT.usage)
  try {
    return await work({ io, config, ask: (request, schema) => askAdmin({ admin, fetch }, request, schema) })
  } catch (error) {
    if (error instanceof AdminError) return fail(io, error.message, EXIT.undetermined)
    throw error
  }
}

async function show(
  { io, ask }: Proxy,
  { policy, ring, json }: Options,
  text: typeof statusText,
): Promise<number> {
  const query = new URLSearchParams({
    ...(policy === undefined ? {} : { policy }),
    ...(ring === undefined ? {} : { ring }),
  })
  const answer = await ask({ method: 'GET', path: `rollout?${query.toString()}` }, reportAnswer)
  if (!answer.ok) return refuse(io, answer.refused)
  io.stdout(json === true ? jsonOf(answer.value) : text(answer.value))
  return EXIT.ok
}

async function history({ io, ask }: Proxy, { json }: Options): Promise<number> {
  const answer = await ask({ method: 'GET', path: 'rollout/promotions' }, historyAnswer)
  if (!answer.ok) return refuse(io, answer.refused)
  const { promotions } = answer.value
  io.stdout(json === true ? jsonOf(promotions) : historyText(promotions))
  return EXIT.ok
}

/** The change is worked out first, so that nothing is recorded that cannot be written. */
async function promote(proxy: Proxy, step: Step): Promise<number> {
  const { io, config, ask } = proxy
  const { policy, ring, to, override, dryRun = false } = step
  const prepared = await prepare(config, step)
  if ('problem' in prepared) return fail(io, prepared.problem, EXIT.usage)
  const { change, policyVersion } = prepared
  const by = plain(step.by ?? io.env['USER'] ?? io.env['LOGNAME'] ?? 'somebody').slice(0, BY_LENGTH_MAX)
  const body = { policy, ring, to, by, dryRun, override, policyVersion }
  const answer = await ask({ method: 'POST', path: 'rollout/promotions', body }, promotedAnswer)
  if (!answer.ok) return refuse(io, answer.refused)
  io.stdout(promotedText(answer.value))
  return await write(change, { io, promoted: answer.value, isShown: dryRun || step.print === true })
}

type Prepared = { readonly change: FileChange | undefined; readonly policyVersion: string | undefined }

/** What was observed is enforced, and not what somebody has written over it since. The way back is always open. */
async function prepare(
  config: Config,
  { policy, ring, to }: Step,
): Promise<Prepared | { readonly problem: string }> {
  const { directory } = config.policies
  if (directory === undefined) return { change: undefined, policyVersion: undefined }
  const change = await prepareEdit(directory, { policy, ring, mode: to })
  if ('problem' in change) return change
  if (to !== 'enforce') return { change, policyVersion: undefined }
  const disk = await versionOnDisk(config, policy)
  return 'problem' in disk ? disk : { change, policyVersion: disk.version }
}

type Writing = { readonly io: CommandIo; readonly promoted: PromotedAnswer; readonly isShown: boolean }

async function write(change: FileChange | undefined, { io, promoted, isShown }: Writing): Promise<number> {
  const { promotion, write: what } = promoted
  const assignment = `${what.path}: ${what.value}`
  if (change === undefined) {
    io.stdout(
      `policies.directory is not configured: set ${assignment} of policy ${promotion.policy} where it is kept\n`,
    )
    return EXIT.ok
  }
  if (isShown) {
    io.stdout(changeText(change.path, change.before, change.after))
    return EXIT.ok
  }
  const problem = await makeEdit(change)
  if (problem !== undefined) {
    const id = promotion.id ?? ''
    return fail(
      io,
      `promotion ${id} is recorded and not in force: ${problem}. Set ${assignment} of policy ${promotion.policy} by hand, ` +
        `or promote again: it is not recorded twice`,
      EXIT.undetermined,
    )
  }
  io.stdout(`wrote ${change.path}: ${assignment}. The proxy loads it when it next looks at the directory\n`)
  return EXIT.ok
}

function promotedText({ promotion, isRepeat, unmet }: PromotedAnswer): string {
  const repeat = isRepeat ? ['  it is on record already and not in force yet; nothing was recorded'] : []
  const lines = [...promotionLines(promotion), ...repeat, ...unmet.map((one) => `  not met: ${one}`)]
  return `${lines.map(plain).join('\n')}\n`
}

/** What is unmet is a refusal; what does not exist is a slip. */
function refuse(io: CommandIo, { status, error, unmet }: Refused): number {
  const lines = [error, ...unmet.map((one) => `  ${one}`)]
  io.stderr(`portcullis: ${lines.map(plain).join('\n')}\n`)
  if (unmet.length > 0) io.stderr('  --override REASON promotes all the same, and is recorded\n')
  if (status >= 500) return EXIT.undetermined
  return unmet.length > 0 ? EXIT.refused : EXIT.usage
}

function fail(io: CommandIo, message: string, code: number): number {
  io.stderr(`portcullis: ${plain(message)}\n`)
  return code
}

function jsonOf(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}
