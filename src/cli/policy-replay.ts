import { InvalidArgumentError, type Command } from 'commander'
import type { Config } from '../config/schema.ts'
import { createEpoch } from '../epoch.ts'
import { parseDuration } from '../policy/duration.ts'
import { keyReferencesOf } from '../policy/bind.ts'
import type { IndexedPolicySet } from '../policy/policy-index.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import { copyState, type StateCopy } from '../policy-replay/copy.ts'
import { createFindingsReader, StoredJudge, type StoredJudgeDeps } from '../policy-replay/judge.ts'
import { replayPolicies } from '../policy-replay/replay.ts'
import type { ReplayReport } from '../policy-replay/report.ts'
import { replayText } from '../policy-replay/text.ts'
import { StoreError } from '../store/error.ts'
import { openTrust } from '../trust/open.ts'
import type { TrustSnapshot } from '../trust/snapshot.ts'
import { TrustError } from '../trust/trust-error.ts'
import { createVerificationRunner } from '../work/runner.ts'
import { EXIT, type CommandIo } from './io.ts'
import { CONFIG_OPTION, jsonOf, loadSet, loadSetWith, type LoadedSet } from './policy-set.ts'

type Options = {
  config?: string
  since: number
  before?: string
  ring?: string
  all?: boolean
  json?: boolean
}

const SINCE_DEFAULT_MS = 30 * 86_400_000
/** One image whose evidence must be verified again. */
const WORK_LIMIT_MS = 10_000

export function registerPolicyReplay(policy: Command, io: CommandIo, now: () => Date): void {
  policy
    .command('replay <after>')
    .description(
      'judge again, under the policies of a directory, every image that was pulled, and say what would change, for whom, how often',
    )
    .option(...CONFIG_OPTION)
    .option('--since <duration>', 'how far back: 30d, 12h', readSince, SINCE_DEFAULT_MS)
    .option('--before <directory>', 'what to compare with (default: policies.directory)')
    .option('--ring <name>', 'only what clients of this ring have pulled')
    .option('--all', 'list every group of images')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nUses no network, and a copy of the state: a running proxy is not disturbed.' +
        '\nExit codes: 0 nothing that is served now would be refused or held, 1 something would, 3 usage or configuration.',
    )
    .action(async (after: string, options: Options) => io.exit(await replay(after, options, { io, now })))
}

function readSince(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('expected a duration: 30d, 12h, 90m')
  return ms
}

type Place = { readonly io: CommandIo; readonly now: () => Date }

async function replay(directory: string, options: Options, place: Place): Promise<number> {
  const { io } = place
  const before = await loadSet(options.before, options.config, io)
  // Both, so that one run shows what is wrong with either.
  const after = before === undefined ? undefined : await loadSetWith(before.config, directory, io)
  if (before === undefined || after === undefined) return EXIT.usage
  const { config } = before
  if (options.ring !== undefined && !ringsOf(config).has(options.ring)) {
    const known = [...ringsOf(config).keys()].join(', ')
    io.stderr(`portcullis: found no ring ${JSON.stringify(options.ring)}, expected one of ${known}\n`)
    return EXIT.usage
  }
  try {
    const copy = await copyState(config.dataDirectory, place.now)
    try {
      return await replayOn(copy, { before, after }, options, place)
    } finally {
      await copy.close()
    }
  } catch (error) {
    if (!(error instanceof StoreError) && !(error instanceof TrustError)) throw error
    io.stderr(`portcullis: ${error.message}\n`)
    return EXIT.usage
  }
}

type Sets = { readonly before: LoadedSet; readonly after: LoadedSet }

async function replayOn(
  copy: StateCopy,
  { before, after }: Sets,
  options: Options,
  { io, now }: Place,
): Promise<number> {
  const { config } = before
  const started = performance.now()
  const trust = await trustIn(copy, config, { sets: [before.set, after.set], now })
  const runner = createVerificationRunner()
  try {
    const workLimit = (): AbortSignal => AbortSignal.timeout(WORK_LIMIT_MS)
    const findings = createFindingsReader(copy.state)
    const deps: StoredJudgeDeps = { ...copy, findings, runner, now, workLimit }
    const since = new Date(now().getTime() - options.since)
    const report = await replayPolicies({
      before: new StoredJudge(createEpoch(before.set, trust), deps),
      after: new StoredJudge(createEpoch(after.set, trust), deps),
      since,
      ring: options.ring,
      rings: ringsOf(config),
      state: copy.state,
    })
    const seconds = (performance.now() - started) / 1000
    const title = { since, before: nameOf(before), after: nameOf(after), seconds }
    io.stdout(
      options.json === true
        ? jsonOf({ ...title, ...asJson(report) })
        : replayText(report, title, { now: now(), isAll: options.all === true }),
    )
    return countOf(report, 'refused') + countOf(report, 'held') === 0 ? EXIT.ok : EXIT.refused
  } finally {
    await runner.close()
  }
}

/** What the proxy has on its disk, as it is: nothing is renewed. */
async function trustIn(
  { dataDirectory }: StateCopy,
  config: Config,
  { sets, now }: { sets: readonly IndexedPolicySet[]; now: () => Date },
): Promise<TrustSnapshot> {
  const silent = { onKeeper: () => undefined, onMirror: () => undefined, onKey: () => undefined }
  const references = [...new Set(sets.flatMap(keyReferencesOf))]
  const still = { elapsed: () => 0, random: () => 0 }
  const opened = await openTrust(
    { ...config, dataDirectory },
    { ...still, references, listener: silent, now },
  )
  const { snapshot } = opened.keeper
  await opened.close()
  return snapshot
}

function ringsOf({ rings }: Config): Parameters<typeof replayPolicies>[0]['rings'] {
  const all = rings.map(({ name, stanceLimit }) => [name, { name, stanceLimit }] as const)
  return new Map([[DEFAULT_RING, { name: DEFAULT_RING, stanceLimit: undefined }], ...all])
}

function nameOf({ directory, set }: LoadedSet): string {
  return `${directory} (${set.version.slice(0, VERSION_CHARACTERS)})`
}

const VERSION_CHARACTERS = 'sha256:'.length + 12

function countOf({ counts }: ReplayReport, change: 'refused' | 'held'): number {
  return counts.get(change)?.images ?? 0
}

function asJson({ counts, byPolicy, groups }: ReplayReport): object {
  return {
    counts: Object.fromEntries(counts),
    byPolicy: Object.fromEntries([...byPolicy].map(([policy, by]) => [policy, Object.fromEntries(by)])),
    groups: groups.map(({ images, rings, tags, ...group }) => ({
      ...group,
      images: [...images],
      rings: Object.fromEntries(rings),
      tags: [...tags],
    })),
  }
}
