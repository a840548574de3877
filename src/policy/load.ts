import { createHash } from 'node:crypto'
import type * as z from 'zod'
import { compilePolicy, type CompiledPolicy } from './compile.ts'
import { policyDocumentSchema, policyJsonSchema, type PolicyDocument } from './document.ts'
import { matcherText } from './matcher.ts'
import { indexPolicies, type IndexedPolicySet } from './policy-index.ts'
import { findingsOf, type Problem } from './problem.ts'
import type { Authority, Mode } from './types.ts'
import { locate, parseYaml, type YamlDocument } from './yaml-text.ts'

export type PolicySources = {
  /** Paths relative to the policies directory, with forward slashes, and the text of each. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** PEM files that `key.file` may name, by path relative to the policies directory. */
  readonly keyFiles?: ReadonlyMap<string, string>
  readonly trustRoots: ReadonlySet<string>
  /** Mode of a policy that says none. */
  readonly defaultMode: Mode
  /** Mode of the rule that every image needs a policy. */
  readonly unmatched: Mode
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
  problems.push(...repeatedNames(loaded), ...mixedSchemes(loaded))
  if (problems.length > 0) return { ok: false, problems }
  const entries = loaded.toSorted((a, b) => (a.policy.name < b.policy.name ? -1 : 1))
  const policies = entries.map(({ policy }) => policy)
  const set = { version: versionOf(entries, sources.unmatched), policies, unmatched: sources.unmatched }
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
    trustRoots: sources.trustRoots,
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

/** Evidence is verified once for all policies, so a key cannot mean two signature schemes at a time. */
function mixedSchemes(loaded: readonly Loaded[]): readonly Problem[] {
  const schemes = new Map<string, { scheme: string; origin: string }>()
  return loaded.flatMap(({ policy, file, line }) =>
    policy.authorities.flatMap(({ name, signer }) =>
      (signer.kind === 'key' ? signer.keys : []).flatMap((key) => {
        const scheme = JSON.stringify(key.scheme ?? null)
        const earlier = schemes.get(key.id)
        schemes.set(key.id, earlier ?? { scheme, origin: policy.origin })
        if (earlier === undefined || earlier.scheme === scheme) return []
        const message = `the key of authority ${name} has another hashAlgorithm or padding in ${earlier.origin}`
        return [{ file, line, path: 'spec.authorities', message }]
      }),
    ),
  )
}

/** Everything of the set that can change a judgement; comments, order and file names are not in it. */
function versionOf(entries: readonly CompiledPolicy[], unmatched: Mode): string {
  const policies = entries.map(({ policy, globs }) => ({
    name: policy.name,
    mode: policy.mode,
    runbook: policy.runbook ?? null,
    images: globs.map((glob) => glob.canonical).toSorted(),
    authorities: policy.authorities.map(canonicalAuthority).toSorted(),
  }))
  return `sha256:${createHash('sha256').update(JSON.stringify({ unmatched, policies })).digest('hex')}`
}

function canonicalAuthority({ name, signer, attestations }: Authority): string {
  const by =
    signer.kind === 'keyless'
      ? {
          trustRoot: signer.trustRoot,
          identities: signer.identities
            .map(({ issuer, subject }) =>
              JSON.stringify([issuer.kind, matcherText(issuer), subject.kind, matcherText(subject)]),
            )
            .toSorted(),
        }
      : {
          keys: signer.keys
            .map(({ id, scheme }) => JSON.stringify([id, scheme?.hash ?? null, scheme?.pss === true]))
            .toSorted(),
          transparencyLog: signer.transparencyLog,
          trustRoot: signer.trustRoot,
        }
  const types = attestations.map((entry) => JSON.stringify([entry.name, entry.predicateType])).toSorted()
  return JSON.stringify({ name, by, types })
}
