import { finish, type Steps } from '../oci/steps.ts'
import { loadPoliciesInSteps, type PolicyLoad, type PolicySources } from '../policy/load.ts'
import type { Problem } from '../policy/problem.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import { DirectorySource } from '../policy-source/directory.ts'
import { NO_FILES, placeIn, type PolicyFiles } from '../policy-source/source.ts'
import type { Config } from './schema.ts'

/** What of the configuration decides what policies mean. */
export type PolicyRules = {
  readonly policies: Pick<
    Config['policies'],
    'directory' | 'defaultMode' | 'unmatched' | 'defaultStance' | 'stanceLimit'
  >
  readonly rings: readonly { readonly name: string }[]
  readonly trust: { readonly roots: ReadonlyMap<string, { readonly kind: string }> }
}

/**
 * Reads the policies directory once and compiles what is in it. Without a directory the set is empty, and `unmatched`
 * rules. Problems name files as the operator would.
 */
export async function loadPolicyDirectory(rules: PolicyRules): Promise<PolicyLoad> {
  const { directory } = rules.policies
  if (directory === undefined) return finish(compilePolicies(rules, NO_FILES))
  const reading = await new DirectorySource({ directory, lookEveryMs: undefined }).read()
  if (!reading.ok) return reading
  const load = finish(compilePolicies(rules, reading.files))
  if (load.ok) return load
  return {
    ok: false,
    problems: load.problems.map((problem) => ({ ...problem, file: placeIn(reading.origin, problem.file) })),
  }
}

/** Problems name files by their path in the set. In steps, so that others have their turns. */
export function* compilePolicies(rules: PolicyRules, files: PolicyFiles): Steps<PolicyLoad> {
  const load = yield* loadPoliciesInSteps(sourcesOf(rules, files))
  const problems = vanished(files, load)
  if (problems.length === 0) return load
  return { ok: false, problems: [...problems, ...(load.ok ? [] : load.problems)] }
}

/** A policy never disappears by accident: a disk that was full leaves empty files behind. */
function vanished({ policies }: PolicyFiles, load: PolicyLoad): readonly Problem[] {
  const empty = policies.filter(({ text }) => text.trim() === '')
  const problems = empty.map(({ path }) =>
    problemOf(path, 'found an empty file; delete it, or write its policies'),
  )
  if (problems.length > 0 || !load.ok || policies.length === 0) return problems
  const { set } = load
  if (set.policies.length > 0 || set.revocations.length > 0) return []
  return [
    problemOf(
      '',
      'found files without a single policy; unset policies.directory or policies.bundle for none',
    ),
  ]
}

function problemOf(file: string, message: string): Problem {
  return { file, line: undefined, path: '', message }
}

function sourcesOf({ policies, rings, trust }: PolicyRules, files: PolicyFiles): PolicySources {
  const { defaultMode, unmatched, defaultStance, stanceLimit } = policies
  const names = Map.groupBy(trust.roots, ([, { kind }]) => (kind === 'keys' ? 'keys' : 'roots'))
  const namesOf = (kind: 'keys' | 'roots') => new Set((names.get(kind) ?? []).map(([name]) => name))
  return {
    files: files.policies,
    keyFiles: files.keys,
    trustRoots: namesOf('roots'),
    keySets: namesOf('keys'),
    rings: new Set([DEFAULT_RING, ...rings.map(({ name }) => name)]),
    defaultMode,
    unmatched,
    defaultStance,
    stanceLimit,
  }
}
