import type { Command } from 'commander'
import { bindPolicies } from '../policy/bind.ts'
import { lint } from '../policy/lint.ts'
import type { LintFinding, Severity } from '../policy/lint-finding.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import { ringOrder } from '../rollout/stages.ts'
import { TrustError } from '../trust/trust-error.ts'
import { EXIT, type CommandIo } from './io.ts'
import { CONFIG_OPTION, counted, jsonOf, loadSet, placeBelow, textOf, type LoadedSet } from './policy-set.ts'
import { openKeySets } from './policy-trust.ts'

type Options = { config?: string; json?: boolean; strict?: boolean }

export function registerPolicyCheck(policy: Command, io: CommandIo, now: () => Date): void {
  policy
    .command('check [directory]')
    .description(
      'load policies as serve would, and say what is weaker, deader or wider in them than it looks',
    )
    .option(...CONFIG_OPTION)
    .option('--strict', 'exit with 1 where there are warnings')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing, or what may stay; 1 warnings with --strict; 3 policies that do not load or cannot be meant.',
    )
    .action(async (directory: string | undefined, options: Options) =>
      io.exit(await check(directory, options, { ...io, now })),
    )
}

async function check(
  directory: string | undefined,
  options: Options,
  io: CommandIo & { readonly now: () => Date },
): Promise<number> {
  const loaded = await loadSet(directory, options.config, io)
  if (loaded === undefined) return EXIT.usage
  try {
    const findings = await findingsOf(loaded, io.now)
    io.stdout(options.json === true ? jsonOf({ ...counts(loaded), findings }) : asText(loaded, findings))
    if (has(findings, 'error')) return EXIT.usage
    return options.strict === true && has(findings, 'warning') ? EXIT.refused : EXIT.ok
  } catch (error) {
    if (!(error instanceof TrustError)) throw error
    io.stderr(`portcullis: ${error.message}\n`)
    return EXIT.usage
  }
}

async function findingsOf(loaded: LoadedSet, now: () => Date): Promise<readonly LintFinding[]> {
  const { config, directory, entries, revocations, set } = loaded
  const keys = await openKeySets(config, now)
  const bound = bindPolicies(set, { roots: config.trust.roots, keys, unusable: new Map() })
  const rings = config.rings.map(({ name }) => name)
  return lint({
    policies: entries.map((entry, index) => ({
      policy: bound.policies[index] ?? entry.policy,
      globs: entry.globs,
      placeOf: (path) => placeBelow(directory, entry, path),
    })),
    revocations,
    // Without any other there is no order to speak of.
    rings: rings.some((name) => name !== DEFAULT_RING) ? ringOrder(rings) : [],
    now: now(),
  })
}

function counts({ entries, revocations }: LoadedSet): {
  readonly policies: number
  readonly revocations: number
} {
  return { policies: entries.length, revocations: revocations.length }
}

function has(findings: readonly LintFinding[], wanted: Severity): boolean {
  return findings.some(({ severity }) => severity === wanted)
}

function asText(loaded: LoadedSet, findings: readonly LintFinding[]): string {
  const { policies, revocations } = counts(loaded)
  const found = (['error', 'warning', 'note'] as const).map((severity) =>
    counted(findings.filter((finding) => finding.severity === severity).length, severity),
  )
  return textOf([
    ...findings.flatMap(({ place, severity, code, policy, what, why, mend }) => [
      `${place}: ${severity} ${code}: policy ${policy}: ${what}`,
      `    ${why}`,
      `    to mend it: ${mend}`,
    ]),
    `${counted(policies, 'policy', 'policies')}, ${counted(revocations, 'revocation')}: ${found.join(', ')}`,
  ])
}
