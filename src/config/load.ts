import { dirname, isAbsolute, join } from 'node:path'
import { findingsOf, isRecord, pathText, type Finding, type Path, type Problem } from '../policy/problem.ts'
import { parseYaml, type YamlDocument } from '../policy/yaml-text.ts'
import { crossChecks } from './cross-checks.ts'
import {
  applyOverrides,
  CONFIG_VARIABLE,
  readEnvironment,
  variableOf,
  type Environment,
  type Override,
  type ReadFile,
} from './environment.ts'
import { resolveConfig } from './resolve.ts'
import { configJsonSchema, configSchema, type Config, type ConfigDocument } from './schema.ts'

export type { Config } from './schema.ts'

export type ConfigLoad =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export type ConfigSources = {
  /** The configuration file; without it `PORTCULLIS_CONFIG` names one, and without that the defaults hold. */
  readonly path?: string
  readonly env: Environment
  readonly readFile: ReadFile
}

/** What messages call the configuration where there is no file. */
const NO_FILE = 'configuration'

/** Loads the configuration, or tells everything that is wrong with it at once. Nothing wrong is passed over. */
export async function loadConfig({ path, env, readFile }: ConfigSources): Promise<ConfigLoad> {
  const file = path ?? env[CONFIG_VARIABLE]
  const read = await readDocument(file, readFile)
  if (!('document' in read)) return { ok: false, problems: read.problems }
  const raw = read.document?.value ?? {}
  const { overrides, problems } = await readEnvironment(env, raw, readFile)
  const place = placer(file, read.document, overrides)
  const value = applyOverrides(raw, overrides)
  const { data, findings } = parseDocument(value)
  // Relative to the file that says it, or to the working directory where a variable or nobody does.
  const pathOf = (name: string, at: Path): string =>
    file === undefined || isAbsolute(name) || variableOf(at, overrides) !== undefined
      ? name
      : join(dirname(file), name)
  if (data === undefined) return { ok: false, problems: inOrder([...problems, ...findings.map(place)]) }
  const resolved = await resolveConfig(data, pathOf, readFile)
  const all = [...problems, ...[...findings, ...resolved.findings].map(place)]
  return all.length > 0 ? { ok: false, problems: inOrder(all) } : { ok: true, config: resolved.config }
}

/** Checks a document. Where some sections are wrong, `data` has their defaults, so that the others are checked whole. */
function parseDocument(value: unknown): {
  readonly data: ConfigDocument | undefined
  readonly findings: readonly Finding[]
} {
  // Once is too seldom for a parser to be compiled.
  const parsed = configSchema.safeParse(value, { reportInput: true, jitless: true })
  if (parsed.success) return { data: parsed.data, findings: crossChecks(parsed.data) }
  const { issues } = parsed.error
  const findings = findingsOf(issues, configJsonSchema())
  const broken = new Set(findings.map(({ path }) => String(path[0])))
  if (!isRecord(value)) return { data: undefined, findings }
  const sound = Object.fromEntries(Object.entries(value).filter(([section]) => !broken.has(section)))
  const { data } = configSchema.safeParse(sound)
  // A default upstream cannot be looked up in a map that is itself in doubt.
  if (broken.has('upstreams')) broken.add('defaultUpstream')
  // Rings name listeners, and listeners ask for what rings list.
  if (broken.has('listen')) broken.add('rings')
  else if (broken.has('rings')) broken.add('listen')
  const cross = data === undefined ? [] : crossChecks(data).filter(({ path }) => !broken.has(String(path[0])))
  return { data, findings: [...findings, ...cross] }
}

/** By line, as one reads the file; what has no line comes first. */
function inOrder(problems: readonly Problem[]): readonly Problem[] {
  return problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0))
}

async function readDocument(
  file: string | undefined,
  readFile: ReadFile,
): Promise<{ readonly document: YamlDocument | undefined } | { readonly problems: readonly Problem[] }> {
  if (file === undefined) return { document: undefined }
  const problem = (message: string): Problem => ({ file, line: undefined, path: '', message })
  try {
    const { documents, problems } = parseYaml(file, await readFile(file))
    if (problems.length > 0) return { problems }
    if (documents.length > 1) return { problems: [problem('found several documents, expected one')] }
    return { document: documents[0] }
  } catch (error) {
    return {
      problems: [problem(`not readable: ${error instanceof Error ? error.message : 'unknown error'}`)],
    }
  }
}

/** Blames the variable that gave a value, or the line of the file. */
function placer(
  file: string | undefined,
  document: YamlDocument | undefined,
  overrides: readonly Override[],
): (finding: Finding) => Problem {
  return ({ path, message }) => {
    const variable = variableOf(path, overrides)
    if (variable !== undefined) return { file: 'environment', line: undefined, path: variable, message }
    return { file: file ?? NO_FILE, line: document?.lineOf(path), path: pathText(path), message }
  }
}
