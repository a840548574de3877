import { readFileSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { FORMATS, type Format } from '../import/format.ts'
import { importFile, type ImportedDocument, type ImportedFile } from '../import/import.ts'
import { DIFFERENCES, type Difference, type ImportOptions } from '../import/imported.ts'
import { comments, policyYaml, yaml } from '../import/render.ts'
import { problemText, type Problem } from '../policy/problem.ts'
import { EXIT, type CommandIo } from './io.ts'
import { jsonOf, printable } from './policy-set.ts'

type Flags = {
  readonly format: Format
  readonly trustRoot?: string
  readonly accept?: ReadonlySet<Difference>
  readonly out?: string
  readonly force?: boolean
  readonly partial?: boolean
  readonly json?: boolean
}

/** What goes into one file of the output directory. */
type Output = { readonly path: string; readonly text: string }

/** As much as the parser takes, and a public key is a few hundred bytes. */
const FILE_BYTES_MAX = 1024 * 1024
const KEY_BYTES_MAX = 64 * 1024

export function registerPolicyImport(policy: Command, io: CommandIo): void {
  policy
    .command('import <files...>')
    .description('make policies of those of policy-controller, Kyverno and containers (policy.json)')
    .addOption(
      new Option('--format <format>', 'what the files are; auto tells each document')
        .choices(FORMATS)
        .default('auto'),
    )
    .option('--trust-root <name>', 'trust root that the other system was started with (default: public-good)')
    .option(
      '--accept <difference>',
      `where the import is laxer: ${Object.keys(DIFFERENCES).join(', ')}`,
      collect,
    )
    .option('--out <directory>', 'write a file for each policy, and what the configuration names')
    .option('--force', 'overwrite files')
    .option('--partial', 'hand out what can be converted though something is refused')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', `\n${HELP}`)
    .action(async (files: string[], flags: Flags) => io.exit(await run(files, flags, io)))
}

const HELP = `Differences that --accept takes:
${Object.entries(DIFFERENCES)
  .map(([name, text]) => `  ${name.padEnd(16)}${text}\n`)
  .join('')}
Exit codes: 0 everything is converted, 1 something is refused (then nothing is handed out without --partial), 3 usage, or
a file that cannot be read or written.`

function collect(text: string, earlier: ReadonlySet<Difference> = new Set()): ReadonlySet<Difference> {
  if (isDifference(text)) return new Set([...earlier, text])
  throw new InvalidArgumentError(`expected one of ${Object.keys(DIFFERENCES).join(', ')}`)
}

function isDifference(text: string): text is Difference {
  return Object.hasOwn(DIFFERENCES, text)
}

async function run(files: readonly string[], flags: Flags, io: CommandIo): Promise<number> {
  const read: ImportedFile[] = []
  for (const file of files) read.push(await importOne(file, flags))
  const problems = read.flatMap((one) => one.problems)
  const documents = withoutRepeats(read.flatMap((one) => one.documents))
  if (flags.json === true) io.stdout(jsonOf({ documents, problems }))
  tell(problems, documents, io)
  if (problems.length > 0) return EXIT.usage
  const isWhole = documents.every(({ refusals }) => refusals.length === 0)
  if (!isWhole && flags.partial !== true) return EXIT.refused
  const fault =
    flags.out === undefined
      ? undefined
      : await writeAll(outputsOf(documents), flags.out, flags.force === true)
  if (fault !== undefined) {
    io.stderr(`portcullis: ${printable(fault)}\n`)
    return EXIT.usage
  }
  if (flags.json !== true)
    io.stdout(flags.out === undefined ? streamOf(documents) : listOf(documents, flags.out))
  return isWhole ? EXIT.ok : EXIT.refused
}

async function importOne(
  file: string,
  { format, trustRoot, accept = new Set() }: Flags,
): Promise<ImportedFile> {
  const options: ImportOptions = {
    trustRoot,
    accept,
    readKeyFile: (path) => readKey(resolve(dirname(file), path)),
  }
  try {
    const { size } = await stat(file)
    if (size > FILE_BYTES_MAX) return unread(file, `found ${size} bytes, expected at most ${FILE_BYTES_MAX}`)
    return importFile(file, await readFile(file, 'utf8'), format, options)
  } catch (error) {
    return unread(file, `not readable: ${messageOf(error)}`)
  }
}

function unread(file: string, message: string): ImportedFile {
  return { documents: [], problems: [{ file, line: undefined, path: '', message }] }
}

function readKey(path: string): string | undefined {
  try {
    const bytes = readFileSync(path)
    return bytes.length <= KEY_BYTES_MAX ? bytes.toString('utf8') : undefined
  } catch {
    return undefined
  }
}

/** Names are unique among all policies, and are those of the files: a second document of a name is refused. */
function withoutRepeats(documents: readonly ImportedDocument[]): readonly ImportedDocument[] {
  const seen = new Set<string>()
  return documents.map((document) => {
    const names = document.policies.map(({ metadata }) => metadata.name)
    const again = names.find((name, index) => seen.has(name) || names.indexOf(name) !== index)
    for (const name of names) seen.add(name)
    if (again === undefined) return document
    const reason = `found a second policy that is called ${JSON.stringify(again)} here`
    const instead = 'give one of them another name'
    const place = { file: document.file, line: document.line, path: 'metadata.name' }
    const refusal = { ...place, message: `${reason}; ${instead}`, reason, instead }
    return { ...document, policies: [], configuration: [], files: [], refusals: [refusal] }
  })
}

function tell(problems: readonly Problem[], documents: readonly ImportedDocument[], io: CommandIo): void {
  const refusals = documents.flatMap((document) => document.refusals)
  const lines = [
    ...problems.map((problem) => problemText(problem)),
    ...refusals.flatMap((refusal) => [
      problemText({ ...refusal, message: refusal.reason }),
      ...(refusal.instead === '' ? [] : [`  instead: ${refusal.instead}`]),
    ]),
  ]
  io.stderr(
    lines.map((line) => `${line.startsWith('  ') ? '' : 'portcullis: '}${printable(line)}\n`).join(''),
  )
}

/** Policies as one YAML stream, which can be put into a policies directory as it is: the rest is comments. */
function streamOf(documents: readonly ImportedDocument[]): string {
  const policies = documents.flatMap((document) =>
    document.policies.map((policy, index) => policyYaml(policy, index === 0 ? remarksOf(document) : [])),
  )
  const others = documents
    .filter(({ policies: own }) => own.length === 0)
    .map((one) => comments(remarksOf(one)))
  return [...policies, others.join('') + configurationComments(documents)]
    .filter((part) => part !== '')
    .join('---\n')
}

function remarksOf({ file, line, title, notes, refusals }: ImportedDocument): readonly string[] {
  if (refusals.length > 0) return [`${title} of ${file}:${line} is refused`]
  return [`${title} of ${file}:${line}`, ...notes.map(({ path, message }) => `  ${path}: ${message}`)]
}

function configurationComments(documents: readonly ImportedDocument[]): string {
  const parts = documents.flatMap(({ configuration }) => configuration)
  const files = documents.flatMap((document) => document.files.map(({ path }) => path))
  if (parts.length === 0) return ''
  const lines = parts.flatMap((part) =>
    yaml(part)
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
  )
  const named = files.length === 0 ? [] : [`${files.join(', ')}: written with --out`]
  return comments(['The configuration must say:', ...lines, ...named])
}

function outputsOf(documents: readonly ImportedDocument[]): readonly Output[] {
  return documents.flatMap((document) => [
    ...document.policies.map((policy, index) => ({
      path: `${policy.metadata.name}.yaml`,
      text: policyYaml(policy, index === 0 ? remarksOf(document) : []),
    })),
    ...document.files,
  ])
}

function listOf(documents: readonly ImportedDocument[], directory: string): string {
  const written = outputsOf(documents).map(({ path }) => `${printable(join(directory, path))}\n`)
  const parts = documents.flatMap(({ configuration }) => configuration)
  const configuration = parts.map((part) => yaml(part)).join('')
  return `${written.join('')}${configuration === '' ? '' : `\nThe configuration must say:\n\n${configuration}`}`
}

/** All of them or none, as far as that can be seen before. What is wrong, where something is. */
async function writeAll(
  outputs: readonly Output[],
  directory: string,
  force: boolean,
): Promise<string | undefined> {
  try {
    await mkdir(directory, { recursive: true })
    const paths = outputs.map(({ path }) => join(directory, path))
    const present = await Promise.all(
      paths.map((path) =>
        stat(path).then(
          () => path,
          () => undefined,
        ),
      ),
    )
    const taken = present.find((path) => path !== undefined)
    if (taken !== undefined && !force) return `${taken} is there already; --force overwrites it`
    for (const { path, text } of outputs)
      await writeFile(join(directory, path), text, { flag: force ? 'w' : 'wx' })
    return undefined
  } catch (error) {
    return `${directory} cannot be written: ${messageOf(error)}`
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
