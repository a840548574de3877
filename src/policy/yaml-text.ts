import { Composer, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, Parser, type Document } from 'yaml'
import { finish, type Steps } from '../oci/steps.ts'
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

type YamlStream = { readonly documents: readonly YamlDocument[]; readonly problems: readonly Problem[] }

/** Parses a YAML 1.2 stream; syntax errors, duplicate keys and keys that are no strings are all problems. */
export function parseYaml(file: string, text: string): YamlStream {
  return finish(parseYamlInSteps(file, text))
}

/** The same, with a step after each document: a file of a thousand takes a second. */
export function* parseYamlInSteps(file: string, text: string): Steps<YamlStream> {
  if (text.length > YAML_CHARACTERS_MAX) {
    const message = `found ${text.length} characters, expected at most ${YAML_CHARACTERS_MAX}`
    return { documents: [], problems: [{ file, line: undefined, path: '', message }] }
  }
  const lines = new LineCounter()
  const tokens = new Parser(lines.addNewLine).parse(text)
  const documents: YamlDocument[] = []
  const problems: Problem[] = []
  for (const document of new Composer({ prettyErrors: false, stringKeys: true }).compose(tokens)) {
    // A warning is a tag or directive that the parser ignored: nothing that is written may be ignored.
    for (const { pos, message } of [...document.errors, ...document.warnings]) {
      problems.push({ file, line: lines.linePos(pos[0]).line, path: '', message: firstLine(message) })
    }
    if (document.errors.length === 0) {
      const read = readDocument(document, lines)
      if (typeof read === 'string') problems.push({ file, line: undefined, path: '', message: read })
      else documents.push(read)
    }
    yield
  }
  return { documents, problems }
}

/** The document, or why it cannot be read. */
function readDocument(document: Document, lines: LineCounter): YamlDocument | string {
  try {
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX })
    return { value, lineOf: (path) => lineOf(document, path, lines) }
  } catch (error) {
    return error instanceof Error ? firstLine(error.message) : 'not readable'
  }
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
