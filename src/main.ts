import { Command, CommanderError } from 'commander'
import { EXIT, type CommandIo } from './cli/io.ts'
import { VERSION } from './version.ts'

type Register = (program: Command, io: CommandIo) => void

/** In the order of the help. Each is loaded when it is asked for: all together take longer than a start in an outage may. */
const COMMANDS: ReadonlyMap<string, () => Promise<Register>> = new Map<string, () => Promise<Register>>([
  ['serve', async () => (await import('./cli/serve.ts')).registerServe],
  ['verify', async () => (await import('./cli/verify.ts')).registerVerify],
  ['verify-bundle', async () => (await import('./cli/verify-bundle.ts')).registerVerifyBundle],
  ['config', async () => (await import('./cli/config.ts')).registerConfig],
  ['trust', async () => (await import('./cli/trust.ts')).registerTrust],
  ['policy', async () => (await import('./cli/policy.ts')).registerPolicy],
  ['drill', async () => (await import('./cli/drill.ts')).registerDrill],
  ['rollout', async () => (await import('./cli/rollout.ts')).registerRollout],
  ['tuf', async () => (await import('./cli/tuf.ts')).registerTuf],
  ['demo', async () => (await import('./cli/demo.ts')).registerDemo],
])

const io: CommandIo = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  env: process.env,
  // The only way out: exitCode lets buffered output drain, and every command closes what it opened.
  exit: (code) => {
    process.exitCode = code
  },
}

const program = new Command('portcullis')
  .description('A registry mirror that lets only verified images through.')
  .version(VERSION)
  .addHelpText('after', '\nExit codes: 0 allowed or ok, 1 refused, 2 undetermined, 3 usage or configuration.')
  .exitOverride()
  .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })

// Node would end with 1, which says "refused": a program that broke down has judged nothing.
process.on('uncaughtException', (error: unknown) => {
  tellUnexpected(error)
  process.exit(EXIT.undetermined)
})

try {
  for (const load of wanted(process.argv[2])) {
    // oxlint-disable-next-line no-await-in-loop -- in the order of the help
    const register = await load()
    register(program, io)
  }
  exitAlike(program)
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) {
    io.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage)
  } else {
    tellUnexpected(error)
    io.exit(EXIT.undetermined)
  }
}

/** The command that is asked for; all of them where the program has to say which there are. */
function wanted(name: string | undefined): Iterable<() => Promise<Register>> {
  if (name === '--version' || name === '-V') return []
  const command = COMMANDS.get(name ?? '')
  return command === undefined ? COMMANDS.values() : [command]
}

/** Settings of a command are copied when it is added: told to every level, every level exits alike. */
function exitAlike(command: Command): void {
  command.exitOverride()
  for (const below of command.commands) exitAlike(below)
}

function tellUnexpected(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  io.stderr(`portcullis: unexpected error: ${text}\n`)
}
