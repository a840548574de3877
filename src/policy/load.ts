import type * as z from 'zod'
import { compilePolicy, type CompiledPolicy } from './compile.ts'
import { policyDocumentSchema, policyJsonSchema, type PolicyDocument } from './document.ts'
import { indexPolicies, type IndexedPolicySet } from './policy-index.ts'
import { findingsOf, type Problem } from './problem.ts'
import type { Mode, Stance } from './types.ts'
import { setVersion } from './version.ts'
import { locate, parseYaml, type YamlDocument } from './yaml-text.ts'

export type PolicySources = {
  /** Paths relative to the policies directory, with forward slashes, and the text of each. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** PEM files that `key.file` may name, by path relative to the policies directory. */
  readonly keyFiles?: ReadonlyMap<string, string>
  readonly trustRoots: ReadonlySet<string>
  /** Names of the key sets of the configuration, which `key.keySet` may name. */
  readonly keySets: ReadonlySet<string>
  /** Mode of a policy that says none. */
  readonly defaultMode: Mode
  /** Mode of the rule that every image needs a policy. */
  readonly unmatched: Mode
  /** Stance of a policy that says none. */
  readonly defaultStance: Stance
  /** The laxest stance that any policy may have in this ring; of a policy's own and this one the stricter counts. */
  readonly stanceLimit: Stance | undefined
}

export type PolicyLoad =
  | { readonly ok: true; readonly set: IndexedPolicySet }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** The order of loading changes nothing, so neither does it change the version. */
type Loaded = CompiledPolicy & { readonly file: string; readonly line: number }

/** Loads every document of every file, or none: a set with a policy missing would let through what that policy stops. */
export function loadPolicies(sources: PolicySources): PolicyLoad {
  const problems: Problem[] = []
  const loaded: Loaded[] = []
  for (const file of sources.files) {
    const parsed = parseYaml(file.path, file.text)
    problems.push(...parsed.problems)
    // An empty document is what a trailing `---` or a file of comments leaves.
    for (const document of parsed.documents.filter(({ value }) => value !== null)) {
      const result = loadDocument(file.path, document, sources)
      if ('policy' in result) loaded.push(result)
      else problems.push(...result)
    }
  }
  problems.push(...repeatedNames(loaded))
  if (problems.length > 0) return { ok: false, problems }
  const entries = loaded.toSorted((a, b) => (a.policy.name < b.policy.name ? -1 : 1))
  const policies = entries.map(({ policy }) => policy)
  const set = { version: setVersion(entries, sources.unmatched), policies, unmatched: sources.unmatched }
  return { ok: true, set: indexPolicies(set, entries) }
}

function loadDocument(
  file: string,
  document: YamlDocument,
  sources: PolicySources,
): Loaded | readonly Problem[] {
  const parsed: z.ZodSafeParseResult<PolicyDocument> = policyDocumentSchema.safeParse(document.value, {
    reportInput: true,
  })
  if (!parsed.success) return locate(file, document, findingsOf(parsed.error.issues, policyJsonSchema()))
  const line = document.lineOf(['metadata', 'name'])
  const { compiled, findings } = compilePolicy(parsed.data, {
    file,
    origin: `${file}:${line}`,
    defaultMode: sources.defaultMode,
    defaultStance: sources.defaultStance,
    stanceLimit: sources.stanceLimit,
    trustRoots: sources.trustRoots,
    keySets: sources.keySets,
    keyFiles: sources.keyFiles ?? new Map(),
  })
  return compiled === undefined ? locate(file, document, findings) : { ...compiled, file, line }
}

function repeatedNames(loaded: readonly Loaded[]): readonly Problem[] {
  const first = new Map<string, Loaded>()
  return loaded.flatMap((entry) => {
    const { name } = entry.policy
    const earlier = first.get(name)
    first.set(name, earlier ?? entry)
    if (earlier === undefined) return []
    const message = `found ${JSON.stringify(name)}, which ${earlier.policy.origin} already is; names are unique`
    return [{ file: entry.file, line: entry.line, path: 'metadata.name', message }]
  })
}
