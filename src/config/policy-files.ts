import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { loadPolicies, type PolicyLoad } from '../policy/load.ts'
import type { Problem } from '../policy/problem.ts'
import type { Config } from './schema.ts'

/** Enough for any organisation; what holds more is not a policies directory. */
const ENTRIES_MAX = 4096
const DEPTH_MAX = 4
const FILE_BYTES_MAX = 1024 * 1024

const POLICY_FILE = /\.ya?ml$/
const KEY_FILE = /\.(?:pem|pub)$/

type Entry = { readonly path: string; readonly text: string }

/** Reads the policies directory and compiles what is in it. Without a directory the set is empty, and `unmatched` rules. */
export async function loadPolicyDirectory({
  policies,
  trust,
}: Pick<Config, 'policies'> & {
  trust: { roots: ReadonlyMap<string, { kind: string }> }
}): Promise<PolicyLoad> {
  const { directory, ...modes } = policies
  const names = Map.groupBy(trust.roots, ([, { kind }]) => (kind === 'keys' ? 'keys' : 'roots'))
  const namesOf = (kind: 'keys' | 'roots') => new Set((names.get(kind) ?? []).map(([name]) => name))
  const rules = {
    ...modes,
    stanceLimit: modes.stanceLimit,
    trustRoots: namesOf('roots'),
    keySets: namesOf('keys'),
  }
  if (directory === undefined) return loadPolicies({ ...rules, files: [] })
  try {
    const entries = await readEntries(directory)
    const files = entries.filter(({ path }) => POLICY_FILE.test(path))
    if (files.length === 0)
      return failed(directory, 'found no policy file (*.yaml, *.yml); unset policies.directory for none')
    const keys = entries
      .filter(({ path }) => KEY_FILE.test(path))
      .map(({ path, text }) => [path, text] as const)
    const result = loadPolicies({ ...rules, files, keyFiles: new Map(keys) })
    if (result.ok) return result
    return {
      ok: false,
      problems: result.problems.map((problem) => ({ ...problem, file: join(directory, problem.file) })),
    }
  } catch (error) {
    return failed(directory, `not readable: ${error instanceof Error ? error.message : 'unknown error'}`)
  }
}

function failed(file: string, message: string): PolicyLoad {
  const problem: Problem = { file, line: undefined, path: '', message }
  return { ok: false, problems: [problem] }
}

/** Every policy and key file below `directory`, by its path relative to it, with forward slashes, sorted. */
async function readEntries(directory: string): Promise<readonly Entry[]> {
  const paths = await listFiles(directory, '', DEPTH_MAX)
  const wanted = paths.filter((path) => POLICY_FILE.test(path) || KEY_FILE.test(path))
  if (wanted.length > ENTRIES_MAX) throw new RangeError(`more than ${ENTRIES_MAX} files`)
  return await Promise.all(
    wanted.toSorted().map(async (path) => {
      const { size } = await stat(join(directory, path))
      if (size > FILE_BYTES_MAX) throw new RangeError(`${path} has more than ${FILE_BYTES_MAX} bytes`)
      return { path, text: await readFile(join(directory, path), 'utf8') }
    }),
  )
}

async function listFiles(directory: string, below: string, depth: number): Promise<readonly string[]> {
  const names = await readdir(join(directory, below))
  // A mounted ConfigMap keeps its real files under `..data` and links to them; those names would be found twice.
  const visible = names.filter((name) => !name.startsWith('.'))
  const nested = await Promise.all(
    visible.map(async (name) => {
      const path = below === '' ? name : `${below}/${name}`
      const entry = await stat(join(directory, path))
      if (entry.isFile()) return [path]
      if (!entry.isDirectory()) return []
      if (depth === 0) throw new RangeError(`${path} is nested more than ${DEPTH_MAX} deep`)
      return await listFiles(directory, path, depth - 1)
    }),
  )
  return nested.flat()
}
