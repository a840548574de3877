import { posix } from 'node:path'
import type { Path, Report } from './problem.ts'
import type { Mode, Stance } from './types.ts'

/** What a document is compiled against. */
export type CompileContext = {
  /** The policy's own file, relative to the policies directory, with forward slashes. */
  readonly file: string
  readonly origin: string
  readonly defaultMode: Mode
  readonly defaultStance: Stance
  readonly stanceLimit: Stance | undefined
  readonly trustRoots: ReadonlySet<string>
  /** Names of the key sets that the configuration has. */
  readonly keySets: ReadonlySet<string>
  /** Names of the rings that the configuration has, `default` among them. */
  readonly rings: ReadonlySet<string>
  /** Text of the PEM files below the policies directory, by path relative to it. */
  readonly keyFiles: ReadonlyMap<string, string>
}

/** Only files that the loader was given: a policy cannot reach out of its directory. Reports one that is not there. */
export function keyFileText(
  name: string,
  path: Path,
  { file, keyFiles }: Pick<CompileContext, 'file' | 'keyFiles'>,
  report: Report,
): string | undefined {
  const text = keyFiles.get(posix.join(posix.dirname(file), name))
  if (text !== undefined) return text
  const known = [...keyFiles.keys()].slice(0, 5).join(', ')
  const hint = known === '' ? 'there are no .pem or .pub files' : `there are ${known}`
  return report(path, `found no such file below the policies directory; ${hint}`)
}

export function reportTrustRoot(
  name: string,
  path: Path,
  { trustRoots }: Pick<CompileContext, 'trustRoots'>,
  report: Report,
): void {
  if (trustRoots.has(name)) return
  const known = [...trustRoots].join(', ')
  report(path, `found ${JSON.stringify(name)}, expected a trust root of the configuration: ${known}`)
}

export function reportRepeated(
  items: readonly { readonly name: string }[],
  path: Path,
  report: Report,
): void {
  const seen = new Set<string>()
  for (const [index, { name }] of items.entries()) {
    if (seen.has(name))
      report([...path, index, 'name'], `found ${JSON.stringify(name)} twice, expected unique names`)
    seen.add(name)
  }
}
