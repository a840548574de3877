import { loadPolicies } from '../policy/load.ts'
import { refusalText, type Refusal } from '../policy/cluster-image-policy/remarks.ts'
import { isRecord, pathText, type Problem } from '../policy/problem.ts'
import { parseYaml, type YamlDocument } from '../policy/yaml-text.ts'
import { importDocument, type Format } from './format.ts'
import type { Import, ImportOptions } from './imported.ts'
import { policyYaml } from './render.ts'

/** One document of one file, and what it came to. */
export type ImportedDocument = {
  /** `ClusterImagePolicy signed-images`. */
  readonly title: string
  readonly file: string
  /** Where it begins. */
  readonly line: number
  readonly policies: Import['policies']
  readonly configuration: Import['configuration']
  readonly files: Import['files']
  readonly refusals: readonly PlacedRefusal[]
  readonly notes: readonly Problem[]
}

type PlacedRefusal = Problem & {
  readonly reason: string
  /** What to write; empty where the reason says it. */
  readonly instead: string
}

export type ImportedFile = {
  readonly documents: readonly ImportedDocument[]
  /** Why the file cannot be read; then there are no documents of it that can be relied on. */
  readonly problems: readonly Problem[]
}

/** Converts every document of a file. Nothing is fetched, and only `options.readKeyFile` reads anything else. */
export function importFile(file: string, text: string, format: Format, options: ImportOptions): ImportedFile {
  // JSON is YAML; policy.json is read as such, with its lines.
  const parsed = parseYaml(file, text)
  if (parsed.problems.length > 0) return { documents: [], problems: parsed.problems }
  const present = parsed.documents.filter(({ value }) => value !== null)
  const problems =
    present.length > 0 ? [] : [{ file, line: undefined, path: '', message: 'found no document' }]
  return { documents: present.flatMap(expandList).map((one) => placed(file, one, format, options)), problems }
}

/** `kubectl get -o yaml` gives a List. */
function expandList(document: YamlDocument): readonly YamlDocument[] {
  const { value } = document
  const items =
    isRecord(value) && value['kind'] === 'List' && Array.isArray(value['items']) ? value['items'] : undefined
  return (
    items?.map((item: unknown, index) => ({
      value: item,
      lineOf: (path) => document.lineOf(['items', index, ...path]),
    })) ?? [document]
  )
}

function placed(
  file: string,
  document: YamlDocument,
  format: Format,
  options: ImportOptions,
): ImportedDocument {
  const result = importDocument(document.value, format, options)
  const refusals = [...result.refusals, ...unloadable(result)]
  const isWhole = refusals.length === 0
  const at = (path: Refusal['path']) => ({ file, line: document.lineOf(path), path: pathText(path) })
  return {
    title: titleOf(document.value),
    file,
    line: document.lineOf([]),
    policies: isWhole ? result.policies : [],
    configuration: isWhole ? result.configuration : [],
    files: isWhole ? result.files : [],
    refusals: refusals.map((refusal) => ({
      ...at(refusal.path),
      message: refusalText(refusal),
      ...refusal,
      path: pathText(refusal.path),
    })),
    notes: result.notes.map(({ path, message }) => ({ ...at(path), message })),
  }
}

/** Whatever our own documents cannot say: nothing is handed out that would not load. */
function unloadable({ policies }: Import): readonly Refusal[] {
  const texts = policies.map((policy, index) => ({ path: `${index}.yaml`, text: policyYaml(policy, []) }))
  const roots = new Set(policies.flatMap(({ spec }) => trustRootsOf(spec)))
  const loaded = loadPolicies({
    files: texts,
    trustRoots: new Set(['public-good', ...roots]),
    keySets: new Set(),
    rings: new Set(),
    defaultMode: 'enforce',
    unmatched: 'enforce',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  if (loaded.ok) return []
  return loaded.problems.map(({ path, message }) => ({
    path: pathOf(path),
    reason: `no ImagePolicy can say this: ${message}`,
    instead: '',
  }))
}

/** What `pathText` wrote; a document of ours has the shape of what it is of, as far as a line is concerned. */
function pathOf(text: string): Refusal['path'] {
  const parts = text.split(/[.[\]]+/).filter((part) => part !== '')
  return parts.map((part) => (/^[0-9]+$/.test(part) ? Number(part) : part))
}

/** Those are for the configuration to have. */
function trustRootsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((one) => trustRootsOf(one))
  if (!isRecord(value)) return []
  return Object.entries(value).flatMap(([key, one]) =>
    key === 'trustRoot' && typeof one === 'string' ? [one] : trustRootsOf(one),
  )
}

function titleOf(value: unknown): string {
  const { kind, metadata } = isRecord(value) ? value : {}
  const name = isRecord(metadata) ? metadata['name'] : undefined
  const parts = [typeof kind === 'string' ? kind : 'policy.json', ...(typeof name === 'string' ? [name] : [])]
  return parts.join(' ')
}
