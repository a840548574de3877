import { join } from 'node:path'
import { loadPolicyDirectory } from '../config/policy-files.ts'
import type { Config } from '../config/schema.ts'
import type { PolicyLoad } from '../policy/load.ts'
import { problemText, type Path, type Problem } from '../policy/problem.ts'
import { configure } from './configure.ts'
import type { CommandIo } from './io.ts'

export const CONFIG_OPTION = [
  '-c, --config <file>',
  'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)',
] as const

/** A policies directory that loads, under the rules of a configuration. */
export type LoadedSet = Extract<PolicyLoad, { ok: true }> & {
  readonly config: Config
  readonly directory: string
}

/** The set of `directory`, or else of the configuration; undefined after all that is wrong with it has been printed. */
export async function loadSet(
  directory: string | undefined,
  configFile: string | undefined,
  io: CommandIo,
): Promise<LoadedSet | undefined> {
  const config = await configure(configFile, io)
  return config === undefined ? undefined : await loadSetWith(config, directory, io)
}

export async function loadSetWith(
  config: Config,
  named: string | undefined,
  io: CommandIo,
): Promise<LoadedSet | undefined> {
  const directory = named ?? config.policies.directory
  if (directory === undefined) {
    io.stderr(
      'portcullis: found no policies: name a directory, or set policies.directory in the configuration\n',
    )
    return undefined
  }
  const load = await loadPolicyDirectory({ ...config, policies: { ...config.policies, directory } })
  if (load.ok) return { ...load, config, directory }
  tellProblems(load.problems, io)
  return undefined
}

export function tellProblems(problems: readonly Problem[], io: CommandIo): void {
  io.stderr(problems.map((problem) => `portcullis: ${printable(problemText(problem))}\n`).join(''))
}

/** `file:line` below the directory, as whoever named the directory would write it. */
export function placeBelow(
  directory: string,
  entry: { placeOf(path: Path): string } | { readonly origin: string },
  path: Path = [],
): string {
  return join(directory, 'origin' in entry ? entry.origin : entry.placeOf(path))
}

/** What is shown comes from outside in part: no control character may reach the terminal. */
export function printable(line: string): string {
  return line.replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, '?')
}

export function textOf(lines: readonly string[]): string {
  return `${lines.map(printable).join('\n')}\n`
}

export function jsonOf(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
