import { Command, CommanderError } from 'commander'
import { EXIT, type CommandIo } from './cli/io.ts'
import { registerConfig } from './cli/config.ts'
import { registerDemo } from './cli/demo.ts'
import { registerServe } from './cli/serve.ts'
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
registerDemo(program, io)
// Settings of a command are copied when it is added, so that every level exits alike.
for (const command of program.commands) command.exitOverride()

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) {
    io.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage)
  } else {
    // Never 1, which says "refused": a program that broke down has judged nothing.
    io.stderr(
      `portcullis: unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    io.exit(EXIT.undetermined)
  }
}
