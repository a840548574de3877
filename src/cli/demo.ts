import type { Command } from 'commander'
import type { runDemo } from '../demo/run.ts'
import { EXIT, type CommandIo } from './io.ts'

export function registerDemo(program: Command, io: CommandIo): void {
  program
    .command('demo')
    .description(
      'show the proxy at work on this machine alone: images that pass, images that do not, and an outage',
    )
    .option('--stay', 'stay up afterwards, for pulling by hand (the default on a terminal)')
    .action(async (options: { stay?: boolean }) => {
      const run = await loadDemo()
      if (run === undefined) {
        io.stderr(
          'portcullis: the demo needs the development dependencies: clone the project and run npm ci\n',
        )
        return io.exit(EXIT.usage)
      }
      const isTerminal = process.stdout.isTTY
      const stay = options.stay ?? isTerminal
      return io.exit(await run({ stay, isTerminal, untilStopped: interrupted }, io))
    })
}

type RunDemo = typeof runDemo

/** Loaded on demand: the image that runs in production does not carry what the demo signs with. */
async function loadDemo(): Promise<RunDemo | undefined> {
  try {
    return (await import('../demo/run.ts')).runDemo
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}

async function interrupted(): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
}
