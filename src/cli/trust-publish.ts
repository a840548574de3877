import * as fs from 'node:fs/promises'
import type { Command } from 'commander'
import type { Disk } from '../trust/publish/disk.ts'
import { PublishError, type PublishErrorCode } from '../trust/publish/error.ts'
import { connectAwsKms, type ConnectKms } from '../trust/publish/kms-signer.ts'
import { openSigner } from '../trust/publish/signer.ts'
import { EXIT, type CommandIo } from './io.ts'
import * as actions from './trust-publish-actions.ts'

const EXIT_OF: Readonly<Record<PublishErrorCode, number>> = {
  usage: EXIT.usage,
  key: EXIT.usage,
  signatures: EXIT.refused,
  conflict: EXIT.refused,
  invalid: EXIT.refused,
  locked: EXIT.undetermined,
  unavailable: EXIT.undetermined,
}

const KEY = 'FILE (PKCS#8, mode 0600) or awskms://[host[:port]]/KEY'
const REPOSITORY = [
  '--repository <dir>',
  'the directory of the repository; DIR/public is what is served',
] as const

/** What the commands touch besides the process. */
export type PublishWorld = { readonly disk: Disk; readonly now: () => Date; readonly connectKms: ConnectKms }

const REAL_WORLD: PublishWorld = {
  disk: fs,
  now: () => new Date(),
  connectKms: (reference) => connectAwsKms(reference),
}

/** Adds `trust publish` and its commands to `trust`. */
export function registerTrustPublish(trust: Command, io: CommandIo, world: PublishWorld = REAL_WORLD): void {
  const publish = trust
    .command('publish')
    .description("the organisation's own TUF root: verified targets that outlive their origin")
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 refused or something is due, 2 cannot be done now, 3 usage or key.',
    )
  const run = runner(io, world)
  registerRoots(publish, run)
  registerReleases(publish, run)
  for (const command of publish.commands) command.exitOverride()
}

type Run = <Options>(action: actions.Action<Options>) => (options: Options) => Promise<void>

function registerRoots(publish: Command, run: Run): void {
  publish
    .command('init')
    .description('stage version 1 of the root for the ceremony; nothing is served yet')
    .requiredOption(...REPOSITORY)
    .requiredOption('--root-key <pub...>', 'public keys (PEM) whose private halves stay offline')
    .requiredOption('--threshold <n>', 'how many of them must sign each root')
    .requiredOption('--targets-key <key>', KEY)
    .requiredOption('--snapshot-key <key>', KEY)
    .requiredOption('--timestamp-key <key>', KEY)
    .option('--root-expires <duration>', 'lifetime of a root', '365d')
    .option('--targets-expires <duration>', 'lifetime of the targets metadata', '180d')
    .option('--snapshot-expires <duration>', 'lifetime of a snapshot', '30d')
    .option('--timestamp-expires <duration>', 'how long clients go on without a new timestamp', '7d')
    .action(run(actions.init))
  publish
    .command('sign-root')
    .description('add signatures to a staged root; with --repository it is published once there are enough')
    .option('--root <file>', 'a copy of the staged root, on an offline machine')
    .option(...REPOSITORY)
    .option('--key <key>', `a root key: ${KEY}`)
    .option('--from <file...>', 'signed copies that came back from offline machines')
    .action(run(actions.signRoot))
  publish
    .command('rotate-root')
    .description('stage the next root: other keys, another threshold, a later end')
    .requiredOption(...REPOSITORY)
    .option('--add-root-key <pub...>', 'public keys to add')
    .option(
      '--remove-root-key <id...>',
      'root keys to take out, by the first 8 or more characters of their ID',
    )
    .option('--threshold <n>', 'how many root keys must sign from this version on')
    .option('--targets-key <key>', `a new one: ${KEY}`)
    .option('--snapshot-key <key>', `a new one: ${KEY}`)
    .option('--timestamp-key <key>', `a new one: ${KEY}`)
    .option('--overlap <duration>', 'how long the old online keys stay listed beside the new', '0s')
    .option('--retire <id...>', 'old online keys whose overlap has ended')
    .option('--lost <id...>', 'online keys that are lost or stolen: out at once')
    .option('--root-expires <duration>', 'lifetime of this root (default: as at init)')
    .action(run(actions.rotateRoot))
}

function registerReleases(publish: Command, run: Run): void {
  publish
    .command('targets')
    .description('publish targets, snapshot and timestamp; without changes it renews them')
    .requiredOption(...REPOSITORY)
    .option('--add <name=file...>', 'add or replace a target')
    .option(
      '--usage <name=kind...>',
      "Sigstore's metadata of an added one: Fulcio|Rekor|CTFE|TSA[,Active|Expired[,URI]]",
    )
    .option('--remove <name...>', 'take a target out')
    .option(
      '--from <url>',
      'take targets from another TUF repository, verified; does nothing where none has changed',
    )
    .option('--from-root <file>', 'a root of that repository that you have checked')
    .option('--name <name...>', 'which targets (default: trusted_root.json and the signing config)')
    .option(
      '--version-at-least <n>',
      'after a restore from a backup: above every version that clients have seen',
    )
    .action(run(actions.targets))
  publish
    .command('timestamp')
    .description('sign the timestamp anew, and the snapshot when it is about to end; run it daily')
    .requiredOption(...REPOSITORY)
    .option('--expires <duration>', 'lifetime of this timestamp (default: as at init)')
    .action(run(actions.timestamp))
  publish
    .command('status')
    .description('every role, version, end and key, and what must be done next; 1 where something is due')
    .requiredOption(...REPOSITORY)
    .action(run(actions.status))
}

function runner(io: CommandIo, { disk, now, connectKms }: PublishWorld): Run {
  return (action) => async (options) => {
    const passphrase = io.env['TUF_KEY_PASSPHRASE']
    try {
      const code = await action(options, {
        disk,
        now,
        open: (reference) => openSigner(reference, { disk, connectKms, passphrase }),
        say: (text) => io.stdout(text),
        warn: (line) => io.stderr(`portcullis: warning: ${line}\n`),
      })
      io.exit(code)
    } catch (error) {
      if (!(error instanceof PublishError)) throw error
      io.stderr(`portcullis: ${error.message}\n`)
      io.exit(EXIT_OF[error.code])
    }
  }
}
