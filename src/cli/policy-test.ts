import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { unknownNames } from '../policy-test/names.ts'
import { runSuite, type CaseResult, type TestSetting } from '../policy-test/run.ts'
import { loadSuites, type TestSuite } from '../policy-test/suite.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import type { PolicyResult } from '../policy/types.ts'
import { TrustError } from '../trust/trust-error.ts'
import { EXIT, type CommandIo } from './io.ts'
import {
  CONFIG_OPTION,
  counted,
  jsonOf,
  loadSet,
  tellProblems,
  textOf,
  type LoadedSet,
} from './policy-set.ts'
import { openKeySets, openPinned } from './policy-trust.ts'

type Options = {
  config?: string
  policies?: string
  json?: boolean
  trustedRoot: ReadonlyMap<string, string>
}

export function registerPolicyTest(policy: Command, io: CommandIo, now: () => Date): void {
  policy
    .command('test <paths...>')
    .description(
      'judge the images of test files (or directories of them) by the policies, and compare with what is expected',
    )
    .option('--policies <directory>', 'the policies (default: policies.directory of the configuration)')
    .option(...CONFIG_OPTION)
    .option(
      '--trusted-root <name=file>',
      'the trusted_root.json of a trust root that comes by TUF, for bundles; may be repeated',
      namedFile,
      new Map(),
    )
    .option('--json', 'print the results as JSON')
    .addHelpText('after', '\nExit codes: 0 every case passes, 1 one fails, 3 files that do not load.')
    .action(async (paths: string[], options: Options) => io.exit(await test(paths, options, { ...io, now })))
}

function namedFile(text: string, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('expected NAME=FILE')
  return new Map([...before, [text.slice(0, at), text.slice(at + 1)]])
}

async function test(
  paths: readonly string[],
  options: Options,
  io: CommandIo & { readonly now: () => Date },
): Promise<number> {
  const [loaded, tests] = [
    await loadSet(options.policies, options.config, io),
    await loadSuites(await filesIn(paths), async (path) => await readFile(path)),
  ]
  if (!tests.ok) tellProblems(tests.problems, io)
  if (loaded === undefined || !tests.ok) return EXIT.usage
  const strange = [...options.trustedRoot.keys()].find((name) => !loaded.config.trust.roots.has(name))
  if (strange !== undefined) {
    io.stderr(`portcullis: --trusted-root ${strange}: expected a trust root of the configuration\n`)
    return EXIT.usage
  }
  try {
    const setting = await settingOf(loaded, tests.suites, options, io)
    const unknown = tests.suites.flatMap((suite) => unknownNames(suite, setting))
    tellProblems(unknown, io)
    if (unknown.length > 0) return EXIT.usage
    const results = tests.suites.flatMap((suite) => runSuite(suite, setting))
    io.stdout(options.json === true ? jsonOf(asJson(results)) : asText(results))
    return results.every(isPassed) ? EXIT.ok : EXIT.refused
  } catch (error) {
    if (!(error instanceof TrustError)) throw error
    io.stderr(`portcullis: ${error.message}\n`)
    return EXIT.usage
  }
}

/** Of a directory every YAML file in it and below; what is not there is told when it is read. */
async function filesIn(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    paths.map(async (path) => {
      const isDirectory = await stat(path).then(
        (entry) => entry.isDirectory(),
        () => false,
      )
      if (!isDirectory) return [path]
      const names = await readdir(path, { recursive: true })
      return names
        .filter((name) => /\.ya?ml$/.test(name))
        .map((name) => join(path, name))
        .toSorted()
    }),
  )
  return found.flat()
}

async function settingOf(
  { config, set }: LoadedSet,
  suites: readonly TestSuite[],
  { trustedRoot }: Options,
  io: CommandIo & { readonly now: () => Date },
): Promise<TestSetting> {
  const hasBundles = suites.some(({ cases }) =>
    cases.some(({ evidence }) => evidence.some(({ kind }) => kind === 'bundle')),
  )
  const trust = hasBundles
    ? await openPinned(config, trustedRoot, io.now)
    : { roots: new Map(), keys: await openKeySets(config, io.now) }
  const names = [...config.trust.roots].flatMap(([name, { kind }]) => (kind === 'keys' ? [] : [name]))
  if (hasBundles)
    tellMissing(
      names.filter((name) => !trust.roots.has(name)),
      io,
    )
  const rings = [{ name: DEFAULT_RING, stanceLimit: undefined }, ...config.rings]
  return {
    set,
    rootNames: new Set(names),
    roots: [...trust.roots.values()].flat(),
    keys: trust.keys,
    rings: new Map(rings.map(({ name, stanceLimit }) => [name, { name, stanceLimit }])),
    now: io.now(),
  }
}

/** Else a bundle that nothing here can verify would look like one that is wrong. */
function tellMissing(names: readonly string[], io: CommandIo): void {
  for (const name of names) {
    io.stderr(
      `portcullis: the document of trust root ${name} is not at hand, so none of its bundles verifies: ` +
        `write it with "portcullis trust export ${name}" and name it with --trusted-root ${name}=FILE\n`,
    )
  }
}

function isPassed({ mismatches }: CaseResult): boolean {
  return mismatches.length === 0
}

function asText(results: readonly CaseResult[]): string {
  const passed = results.filter(isPassed).length
  const bySuite = Map.groupBy(results, ({ suite }) => suite)
  return textOf([
    ...[...bySuite].flatMap(([suite, cases]) => [suite, ...cases.flatMap(caseLines)]),
    `${counted(results.length, 'case')}: ${passed} passed, ${results.length - passed} failed`,
  ])
}

function caseLines(result: CaseResult): readonly string[] {
  if (isPassed(result)) return [`  ok    ${result.case.name}`]
  const { name, line, image, ring } = result.case
  return [
    `  FAIL  ${name}`,
    `        ${result.suite}:${line}: ${image}, ring ${ring}`,
    ...result.mismatches.flatMap(({ what, expected, found }) => [
      `        ${what}: expected ${expected}`,
      `        ${' '.repeat(what.length)}  found    ${found}`,
    ]),
    ...result.results.flatMap(becauseLines),
  ]
}

/** Why each policy says what it says: what somebody who wonders at a failure looks at next. */
function becauseLines({ policy, mode, verdict }: PolicyResult): readonly string[] {
  const head = `        policy ${policy} (${mode}): ${verdict.kind}`
  switch (verdict.kind) {
    case 'satisfied':
      return [`${head} by ${[...new Set(verdict.by.map(({ authority }) => authority))].join(', ')}`]
    case 'violated':
      return [
        head,
        ...verdict.reasons.map(
          ({ code, found, expected }) => `          ${code}: found ${found}, expected ${expected}`,
        ),
      ]
    case 'undetermined':
      return [head, ...verdict.causes.map(({ dependency, message }) => `          ${dependency}: ${message}`)]
  }
}

function asJson(results: readonly CaseResult[]): unknown {
  return {
    passed: results.filter(isPassed).length,
    failed: results.filter((result) => !isPassed(result)).length,
    cases: results.map((result) => ({
      file: result.suite,
      line: result.case.line,
      name: result.case.name,
      image: result.case.image,
      ring: result.case.ring,
      passed: isPassed(result),
      mismatches: result.mismatches,
      outcome: result.outcome,
      messages: result.messages,
      policies: result.results.map(({ policy, mode, verdict }) => ({
        policy,
        mode,
        verdict: verdict.kind,
        reasons: verdict.kind === 'violated' ? verdict.reasons : [],
        causes: verdict.kind === 'undetermined' ? verdict.causes : [],
      })),
    })),
  }
}
