import type { Command } from 'commander'
import type { Config } from '../config/schema.ts'
import { parseImageReference, repositoryName } from '../oci/reference.ts'
import { basisOf, demandText, durationText, modesText, refusalText } from '../policy/describe.ts'
import type { Glob } from '../policy/glob.ts'
import { DEFAULT_RING, modeIn, type Ring } from '../policy/ring.ts'
import { stricterStance } from '../policy/stance.ts'
import type { Authority, Mode, Stance } from '../policy/types.ts'
import type { PullAnswer } from '../pull.ts'
import { EXIT, type CommandIo } from './io.ts'
import { CONFIG_OPTION, jsonOf, loadSet, placeBelow, textOf, type LoadedSet } from './policy-set.ts'
import { exitOf, pullOnce } from './pull-once.ts'
import { answerJson, answerLines } from './verify.ts'

type Options = { config?: string; policies?: string; ring?: string; offline?: boolean; json?: boolean }

export function registerPolicyExplain(policy: Command, io: CommandIo): void {
  policy
    .command('explain <image>')
    .description('say which policies are about an image, what each demands, and what was found')
    .option('--policies <directory>', 'the policies (default: policies.directory of the configuration)')
    .option(...CONFIG_OPTION)
    .option('--ring <name>', 'for clients of this ring (default: of none that is configured)')
    .option('--offline', 'ask nobody: say only what is demanded')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 served, or --offline; 1 refused; 2 undetermined (or not to be had); 3 usage or configuration.',
    )
    .action(async (name: string, options: Options) => io.exit(await explain(name, options, io)))
}

async function explain(name: string, options: Options, io: CommandIo): Promise<number> {
  const image = parseImageReference(name)
  if (image === undefined) {
    io.stderr(`portcullis: ${name} is not an image name; expected registry/repository:tag or …@sha256:…\n`)
    return EXIT.usage
  }
  const loaded = await loadSet(options.policies, options.config, io)
  if (loaded === undefined) return EXIT.usage
  const ring = ringOf(options.ring, loaded.config, io)
  if (ring === undefined) return EXIT.usage
  const explanation = explanationOf(repositoryName(image.repository), ring, loaded)
  if (options.offline === true) {
    io.stdout(options.json === true ? jsonOf(explanation) : textOf(linesOf(explanation)))
    return EXIT.ok
  }
  const { directory } = loaded
  const config = { ...loaded.config, policies: { ...loaded.config.policies, directory } }
  const answer = await pullOnce({ image, config, ring: options.ring }, io)
  const found = typeof answer === 'number' ? undefined : answer
  io.stdout(
    options.json === true
      ? jsonOf({ ...explanation, ...(found === undefined ? {} : { found: answerJson(found) }) })
      : textOf([...linesOf(explanation), ...foundLines(found)]),
  )
  return typeof answer === 'number' ? answer : exitOf(answer)
}

function ringOf(name: string = DEFAULT_RING, config: Config, io: CommandIo): Ring | undefined {
  const rings: readonly Ring[] = [
    ...config.rings.map((ring) => ({ name: ring.name, stanceLimit: ring.stanceLimit })),
    // Where the configuration says nothing of it.
    { name: DEFAULT_RING, stanceLimit: undefined },
  ]
  const ring = rings.find((one) => one.name === name)
  if (ring !== undefined) return ring
  const known = [...new Set(rings.map((one) => one.name))].join(', ')
  io.stderr(`portcullis: ${name} is no ring of the configuration; expected one of ${known}\n`)
  return undefined
}

/** One policy or revocation, in words. */
type Rule = {
  readonly name: string
  readonly place: string
  /** The globs that match the image. */
  readonly by: readonly string[]
  readonly mode: Mode
  readonly modes: string
  readonly text: string
  readonly runbook?: string
}

type PolicyRule = Rule & {
  readonly stance: Stance
  readonly verifyBudgetMs?: number
  readonly restsOn: readonly string[]
}

type Explanation = {
  readonly image: string
  readonly ring: string
  readonly policies: readonly PolicyRule[]
  readonly revocations: readonly (Rule & { readonly reason: string })[]
  /** The mode of the rule for images without a policy; it applies where `policies` is empty. */
  readonly unmatched: Mode
}

function explanationOf(
  image: string,
  ring: Ring,
  { directory, entries, revocations, set, config }: LoadedSet,
): Explanation {
  const byOf = (globs: readonly Glob[]): readonly string[] =>
    globs.filter((glob) => glob.matches(image)).map(({ source }) => source)
  return {
    image,
    ring: ring.name,
    unmatched: set.unmatched,
    policies: entries.flatMap((entry) => {
      const { policy, globs } = entry
      if (!policy.matches(image)) return []
      const { name, modes, stance, verifyBudgetMs, runbook, authorities } = policy
      const rule = {
        name,
        place: placeBelow(directory, policy),
        by: byOf(globs),
        mode: modeIn(modes, ring.name),
        modes: modesText(modes),
        text: demandText(policy),
        ...(runbook === undefined ? {} : { runbook }),
        stance: stricterStance(stance, ring.stanceLimit),
        ...(verifyBudgetMs === undefined ? {} : { verifyBudgetMs }),
        restsOn: authorities.map((authority) => `${authority.name}: ${basisText(authority, config)}`),
      }
      return [rule]
    }),
    revocations: revocations.flatMap(({ revocation, globs }) => {
      if (!revocation.matches(image)) return []
      const { name, modes, reason, runbook } = revocation
      const rule = {
        name,
        place: placeBelow(directory, revocation),
        by: byOf(globs),
        mode: modeIn(modes, ring.name),
        modes: modesText(modes),
        text: refusalText(revocation),
        ...(runbook === undefined ? {} : { runbook }),
        reason,
      }
      return [rule]
    }),
  }
}

/** Where the configuration has it from, too. */
function basisText(authority: Authority, { trust }: Config): string {
  const { signer } = authority
  const text = basisOf(authority)
  if (signer.kind === 'static') return text
  if (signer.kind === 'key' && signer.transparencyLog === 'optional') return text
  const root = trust.roots.get(signer.trustRoot)
  switch (root?.kind) {
    case 'public-good':
      return `${text} (TUF, ${root.mirror})`
    case 'tuf':
      return `${text} (TUF, ${root.url})`
    case 'pinned':
      return `${text} (file ${root.path})`
    case 'pki':
      return `${text} (authorities in ${root.certificates}, times of ${root.times})`
    case 'keys':
    case undefined:
      return text
  }
}

const MODE_WORDS: Readonly<Record<Mode, string>> = {
  off: 'says nothing',
  observe: 'only warns',
  enforce: 'refuses',
}

const STANCE_WORDS: Readonly<Record<Stance, string>> = {
  closed: 'what cannot be judged now is held',
  'last-verified': 'what cannot be judged now is served if it satisfied the policy before, else held',
  open: 'what cannot be judged now is served within a budget',
}

function linesOf({ image, ring, policies, revocations, unmatched }: Explanation): readonly string[] {
  return [
    `${image}, ring ${ring}`,
    ...(policies.length === 0
      ? [
          '',
          `no policy is about it: the rule for images without a policy ${MODE_WORDS[unmatched]} (unmatched: ${unmatched})`,
        ]
      : []),
    ...policies.flatMap((rule) => [
      ...ruleLines('policy', rule),
      `  needs ${rule.text}`,
      ...rule.restsOn.map((text) => `  rests on ${text}`),
      ...(rule.mode === 'enforce' ? [`  stance ${rule.stance}: ${STANCE_WORDS[rule.stance]}`] : []),
      ...budgetLines(rule),
      ...runbookLines(rule),
    ]),
    ...revocations.flatMap((rule) => [
      ...ruleLines('revocation', rule),
      `  never accepts ${rule.text}`,
      `  because ${rule.reason}`,
      ...runbookLines(rule),
    ]),
  ]
}

function ruleLines(kind: string, { name, place, by, mode, modes }: Rule): readonly string[] {
  return [
    '',
    `${kind} ${name} (${place}), by ${by.join(' and ')}`,
    `  mode ${mode}: ${MODE_WORDS[mode]}${modes === mode ? '' : ` (${modes})`}`,
  ]
}

function budgetLines({ verifyBudgetMs: ms }: PolicyRule): readonly string[] {
  return ms === undefined
    ? []
    : [`  budget ${durationText(ms)}: a pull waits no longer for the verdict, and then the stance decides`]
}

function runbookLines({ runbook }: Rule): readonly string[] {
  return runbook === undefined ? [] : [`  runbook ${runbook}`]
}

function foundLines(answer: PullAnswer | undefined): readonly string[] {
  return answer === undefined ? [] : ['', ...answerLines(answer)]
}
