import { createRequire } from 'node:module'
import type * as z from 'zod'
import { finish, type Steps } from '../oci/steps.ts'
import type * as ClusterImagePolicy from './cluster-image-policy/cluster-image-policy.ts'
import { isPolicyControllerDocument } from './cluster-image-policy/group.ts'
import type * as Remarks from './cluster-image-policy/remarks.ts'
import { compilePolicy, type CompiledPolicy } from './compile.ts'
import { compileRevocation, revocationsCanonical, type CompiledRevocation } from './compile-revocation.ts'
import { policyDocumentSchema, policyJsonSchema, type PolicyDocument } from './document.ts'
import { indexPolicies, type IndexedPolicySet } from './policy-index.ts'
import { findingsOf, isRecord, type Path, type Problem } from './problem.ts'
import {
  revocationDocumentSchema,
  revocationJsonSchema,
  type RevocationDocument,
} from './revocation-document.ts'
import type { Mode, Stance } from './types.ts'
import { setVersion } from './version.ts'
import { locate, parseYamlInSteps, type YamlDocument } from './yaml-text.ts'

export type PolicySources = {
  /** Paths relative to the policies directory, with forward slashes, and the text of each. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** PEM files that `key.file` may name, by path relative to the policies directory. */
  readonly keyFiles?: ReadonlyMap<string, string>
  readonly trustRoots: ReadonlySet<string>
  /** Names of the key sets of the configuration, which `key.keySet` may name. */
  readonly keySets: ReadonlySet<string>
  /** Names of the rings of the configuration. */
  readonly rings: ReadonlySet<string>
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
  | {
      readonly ok: true
      readonly set: IndexedPolicySet
      /** What each was compiled from, for those who tell people about it: in the order of the set. */
      readonly entries: readonly LoadedPolicy[]
      readonly revocations: readonly CompiledRevocation[]
    }
  | { readonly ok: false; readonly problems: readonly Problem[] }

type LoadedPolicy = CompiledPolicy & {
  /** `file:line` of a part of the document, or of the deepest part of the path that is there. */
  placeOf(path: Path): string
}

/** Where a document stands; the order of loading changes nothing, so neither does it change the version. */
type Placed = { readonly file: string; readonly line: number }
type Loaded = (LoadedPolicy | CompiledRevocation) & Placed

const API_VERSION = 'portcullis.dev/v1alpha1'

/** At once, and only what a document needs: a start waits for all that is imported. */
const load = createRequire(import.meta.url)

/** Loads every document of every file, or none: a set with a policy missing would let through what that policy stops. */
export function loadPolicies(sources: PolicySources): PolicyLoad {
  return finish(loadPoliciesInSteps(sources))
}

/** The same, with a step after each document: ten thousand take seconds, in which images are pulled. */
export function* loadPoliciesInSteps(sources: PolicySources): Steps<PolicyLoad> {
  const problems: Problem[] = []
  const loaded: Loaded[] = []
  for (const file of sources.files) {
    const parsed = yield* parseYamlInSteps(file.path, file.text)
    problems.push(...parsed.problems)
    // An empty document is what a trailing `---` or a file of comments leaves.
    for (const document of parsed.documents.filter(({ value }) => value !== null)) {
      const result = loadDocument(file.path, document, sources)
      if ('globs' in result) loaded.push(result)
      else problems.push(...result)
      yield
    }
  }
  problems.push(...repeatedNames(loaded))
  if (problems.length > 0) return { ok: false, problems }
  const sorted = loaded.toSorted((a, b) => (subjectOf(a).name < subjectOf(b).name ? -1 : 1))
  const entries = sorted.filter((entry) => 'policy' in entry)
  const revocations = sorted.filter((entry) => 'revocation' in entry)
  return { ok: true, set: setOf(entries, revocations, sources.unmatched), entries, revocations }
}

function setOf(
  entries: readonly CompiledPolicy[],
  revocations: readonly CompiledRevocation[],
  unmatched: Mode,
): IndexedPolicySet {
  const set = {
    version: setVersion(entries, unmatched, revocationsCanonical(revocations)),
    policies: entries.map(({ policy }) => policy),
    revocations: revocations.map(({ revocation }) => revocation),
    unmatched,
  }
  return indexPolicies(set, {
    policies: entries.map(({ globs }) => globs),
    revocations: revocations.map(({ globs }) => globs),
  })
}

function loadDocument(
  file: string,
  document: YamlDocument,
  sources: PolicySources,
): Loaded | readonly Problem[] {
  const kind = isRecord(document.value) ? document.value['kind'] : undefined
  if (isPolicyControllerDocument(document.value)) return loadClusterImagePolicy(file, document, sources)
  if (kind === 'Revocation') return loadRevocation(file, document, sources)
  if (kind === 'ImagePolicy' || typeof kind !== 'string') return loadPolicy(file, document, sources)
  return locate(file, document, [{ path: ['kind'], message: unknownKind(kind) }])
}

function unknownKind(kind: string): string {
  return `found ${JSON.stringify(kind)}, expected ImagePolicy or Revocation, of ${API_VERSION}`
}

/** As the ImagePolicy that comes to the same verdicts: what is found in that stands at the same place of the original. */
function loadClusterImagePolicy(
  file: string,
  document: YamlDocument,
  sources: PolicySources,
): Loaded | readonly Problem[] {
  const { documentsFromClusterImagePolicy }: typeof ClusterImagePolicy = load(
    './cluster-image-policy/cluster-image-policy.ts',
  )
  const { documents, refusals } = documentsFromClusterImagePolicy(document.value)
  const [value] = documents
  if (value !== undefined) return loadPolicy(file, { ...document, value }, sources)
  const { refusalText }: typeof Remarks = load('./cluster-image-policy/remarks.ts')
  const findings = refusals.map((refusal) => ({ path: refusal.path, message: refusalText(refusal) }))
  return locate(file, document, findings)
}

function loadPolicy(
  file: string,
  document: YamlDocument,
  sources: PolicySources,
): Loaded | readonly Problem[] {
  const parsed: z.ZodSafeParseResult<PolicyDocument> = policyDocumentSchema.safeParse(document.value, {
    reportInput: true,
  })
  if (!parsed.success) return locate(file, document, findingsOf(parsed.error.issues, policyJsonSchema()))
  const line = document.lineOf(['metadata', 'name'])
  const context = { ...sources, file, origin: `${file}:${line}`, keyFiles: sources.keyFiles ?? new Map() }
  const { compiled, findings } = compilePolicy(parsed.data, context)
  if (compiled === undefined) return locate(file, document, findings)
  return { ...compiled, file, line, placeOf: (path) => `${file}:${document.lineOf(path)}` }
}

function loadRevocation(
  file: string,
  document: YamlDocument,
  sources: PolicySources,
): Loaded | readonly Problem[] {
  const parsed: z.ZodSafeParseResult<RevocationDocument> = revocationDocumentSchema.safeParse(
    document.value,
    { reportInput: true },
  )
  if (!parsed.success) return locate(file, document, findingsOf(parsed.error.issues, revocationJsonSchema()))
  const line = document.lineOf(['metadata', 'name'])
  const context = { ...sources, file, origin: `${file}:${line}`, keyFiles: sources.keyFiles ?? new Map() }
  const { compiled, findings } = compileRevocation(parsed.data, context)
  return compiled === undefined ? locate(file, document, findings) : { ...compiled, file, line }
}

function repeatedNames(loaded: readonly Loaded[]): readonly Problem[] {
  const first = new Map<string, Loaded>()
  return loaded.flatMap((entry) => {
    const { name } = subjectOf(entry)
    const earlier = first.get(name)
    first.set(name, earlier ?? entry)
    if (earlier === undefined) return []
    const message = `found ${JSON.stringify(name)}, which ${subjectOf(earlier).origin} already is; names are unique`
    return [{ file: entry.file, line: entry.line, path: 'metadata.name', message }]
  })
}

function subjectOf(entry: LoadedPolicy | CompiledRevocation): {
  readonly name: string
  readonly origin: string
} {
  return 'policy' in entry ? entry.policy : entry.revocation
}
