import { Command, CommanderError } from 'commander'
import { EXIT, type CommandIo } from './cli/io.ts'
import { registerConfig } from './cli/config.ts'
import { registerDemo } from './cli/demo.ts'
import { registerDrill } from './cli/drill.ts'
import { registerPolicy } from './cli/policy.ts'
import { registerRollout } from './cli/rollout.ts'
import { registerServe } from './cli/serve.ts'
import { registerTrust } from './cli/trust.ts'
import { registerTuf } from './cli/tuf.ts'
import { registerVerify } from './cli/verify.ts'
import { registerVerifyBundle } from './cli/verify-bundle.ts'
import { VERSION } from './version.ts'

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

registerServe(program, io)
registerVerify(program, io)
registerVerifyBundle(program, io)
registerConfig(program, io)
registerTrust(program, io)
registerPolicy(program, io)
registerDrill(program, io)
registerRollout(program, io)
registerTuf(program, io)
registerDemo(program, io)
exitAlike(program)

// Node would end with 1, which says "refused": a program that broke down has judged nothing.
process.on('uncaughtException', (error: unknown) => {
  tellUnexpected(error)
  process.exit(EXIT.undetermined)
})

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) {
    io.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage)
  } else {
    tellUnexpected(error)
    io.exit(EXIT.undetermined)
  }
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
