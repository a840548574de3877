import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments, type Document } from 'yaml'
import { pathText, type Finding, type Path, type Problem } from './problem.ts'

/** One document of a YAML stream as plain data, and where in the text each part of it stands. */
export type YamlDocument = {
  readonly value: unknown
  /** Line (from 1) of the deepest part of `path` that is there. */
  lineOf(path: Path): number
}

/** More than any configuration or policy file needs, and little enough to parse in no time. */
const YAML_CHARACTERS_MAX = 1024 * 1024
/** Aliases may not multiply a small file into a large value ("billion laughs"). */
const ALIASES_MAX = 100

/** Parses a YAML 1.2 stream; syntax errors, duplicate keys and keys that are no strings are all problems. */
export function parseYaml(
  file: string,
  text: string,
): { readonly documents: readonly YamlDocument[]; readonly problems: readonly Problem[] } {
  if (text.length > YAML_CHARACTERS_MAX) {
    const message = `found ${text.length} characters, expected at most ${YAML_CHARACTERS_MAX}`
    return { documents: [], problems: [{ file, line: undefined, path: '', message }] }
  }
  const lines = new LineCounter()
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, stringKeys: true })
  const documents: YamlDocument[] = []
  const problems: Problem[] = []
  for (const document of parsed) {
    // A warning is a tag or directive that the parser ignored: nothing that is written may be ignored.
    for (const { pos, message } of [...document.errors, ...document.warnings]) {
      problems.push({ file, line: lines.linePos(pos[0]).line, path: '', message: firstLine(message) })
    }
    if (document.errors.length > 0) continue
    try {
      const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX })
      documents.push({ value, lineOf: (path) => lineOf(document, path, lines) })
    } catch (error) {
      const message = error instanceof Error ? firstLine(error.message) : 'not readable'
      problems.push({ file, line: undefined, path: '', message })
    }
  }
  return { documents, problems }
}

/** Puts findings about one document where they belong. */
export function locate(
  file: string,
  document: YamlDocument,
  findings: readonly Finding[],
): readonly Problem[] {
  return findings.map(({ path, message }) => ({
    file,
    line: document.lineOf(path),
    path: pathText(path),
    message,
  }))
}

function lineOf(document: Document, path: Path, lines: LineCounter): number {
  let node: unknown = document.contents
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0
  for (const part of path) {
    const step = child(isAlias(node) ? node.resolve(document) : node, part)
    if (step === undefined) break
    offset = step.offset ?? offset
    node = step.value
  }
  return lines.linePos(offset).line
}

function child(node: unknown, part: PropertyKey): { value: unknown; offset: number | undefined } | undefined {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
    if (pair === undefined) return undefined
    return { value: pair.value, offset: isScalar(pair.key) ? pair.key.range?.[0] : undefined }
  }
  if (!isSeq(node) || typeof part !== 'number') return undefined
  const item = node.items[part]
  return item === undefined ? undefined : { value: item, offset: isNode(item) ? item.range?.[0] : undefined }
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message
}
