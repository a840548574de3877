import type { Command } from 'commander'
import { diffPolicies, type PolicySide } from '../policy/diff.ts'
import type { Change } from '../policy/diff-change.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'
import { CONFIG_OPTION, jsonOf, loadSetWith, textOf, type LoadedSet } from './policy-set.ts'

type Options = { config?: string; json?: boolean }

export function registerPolicyDiff(policy: Command, io: CommandIo): void {
  policy
    .command('diff <before> <after>')
    .description(
      'say in plain words what becomes stricter, laxer or different from one directory to the other',
    )
    .option(...CONFIG_OPTION)
    .option('--json', 'print the changes as JSON')
    .addHelpText('after', '\nExit codes: 0 they mean the same, 1 they differ, 3 one of them does not load.')
    .action(async (before: string, after: string, options: Options) =>
      io.exit(await diff([before, after], options, io)),
    )
}

async function diff(
  [before, after]: readonly [string, string],
  options: Options,
  io: CommandIo,
): Promise<number> {
  const config = await configure(options.config, io)
  if (config === undefined) return EXIT.usage
  // Both, so that one run shows what is wrong with either.
  const [old, now] = [await loadSetWith(config, before, io), await loadSetWith(config, after, io)]
  if (old === undefined || now === undefined) return EXIT.usage
  const changes = diffPolicies(sideOf(old), sideOf(now))
  io.stdout(options.json === true ? jsonOf({ ...summaryOf(changes), changes }) : asText(changes))
  return changes.length === 0 ? EXIT.ok : EXIT.refused
}

function sideOf({ entries, revocations, set }: LoadedSet): PolicySide {
  return { policies: entries, revocations, unmatched: set.unmatched, version: set.version }
}

function summaryOf(changes: readonly Change[]): Record<Change['direction'], number> {
  const count = (wanted: Change['direction']): number =>
    changes.filter(({ direction }) => direction === wanted).length
  return { stricter: count('stricter'), laxer: count('laxer'), different: count('different') }
}

function asText(changes: readonly Change[]): string {
  if (changes.length === 0) return 'no difference\n'
  const { stricter, laxer, different } = summaryOf(changes)
  return textOf([
    ...changes.map(({ policy, text, direction }) => `${policy}: ${text} (${direction})`),
    `${stricter} stricter, ${laxer} laxer, ${different} just different`,
  ])
}
