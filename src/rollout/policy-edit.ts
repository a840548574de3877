import { isDeepStrictEqual } from 'node:util'
import { isMap, isNode, isScalar, parseAllDocuments, type Document, type Range, type YAMLMap } from 'yaml'
import type { Mode } from '../policy/types.ts'

/** `spec.rings.<ring>: <mode>` of one policy. */
export type RingEdit = { readonly policy: string; readonly ring: string; readonly mode: Mode }

type Insertion = { readonly from: number; readonly to: number; readonly text: string }

/**
 * The text of a file of policy documents with the mode of one policy in one ring changed; undefined where the policy is not
 * in it. Nothing else is changed, also no comment, order or blank: it will be reviewed. Only where the place cannot be
 * found in the text (an alias, say) is the file written anew, and then blanks may move.
 */
export function setRingMode(text: string, edit: RingEdit): string | undefined {
  const documents = parse(text)
  const index = documents.findIndex((document) => isPolicy(document, edit.policy))
  const document = documents[index]
  if (document === undefined) return undefined
  const before = documents.map(valueOf)
  document.setIn(['spec', 'rings', edit.ring], edit.mode)
  const wanted = documents.map(valueOf)
  if (isDeepStrictEqual(before, wanted)) return text
  const inPlace = editInPlace(text, index, edit)
  if (inPlace !== undefined && isDeepStrictEqual(parse(inPlace).map(valueOf), wanted)) return inPlace
  return documents.map((one) => one.toString({ lineWidth: 0 })).join('')
}

function parse(text: string): readonly Document[] {
  return parseAllDocuments(text, { prettyErrors: false, stringKeys: true })
}

/** Undefined where it does not parse, so that a broken text equals no other. */
function valueOf(document: Document): unknown {
  return document.errors.length > 0 ? Symbol('broken') : document.toJS()
}

function isPolicy(document: Document, name: string): boolean {
  if (document.errors.length > 0 || !isMap(document.contents)) return false
  return document.get('kind') === 'ImagePolicy' && document.getIn(['metadata', 'name']) === name
}

function editInPlace(text: string, index: number, edit: RingEdit): string | undefined {
  const spec = parse(text)[index]?.get('spec', true)
  if (!isMap(spec)) return undefined
  const insertion = insertionIn(text, spec, edit)
  if (insertion === undefined) return undefined
  return `${text.slice(0, insertion.from)}${insertion.text}${text.slice(insertion.to)}`
}

function insertionIn(text: string, spec: YAMLMap, { ring, mode }: RingEdit): Insertion | undefined {
  const rings = spec.get('rings', true)
  if (!isMap(rings) || rings.items.length === 0) {
    if (spec.has('rings')) return undefined
    return isFlow(spec)
      ? inFlow(spec, `"rings": {"${ring}": "${mode}"}`)
      : inBlock(text, spec, 'mode', (indent) => `rings:\n${indent}  ${ring}: ${mode}`)
  }
  const value = rings.get(ring, true)
  const span = spanOf(value)
  if (isScalar(value) && span !== undefined) {
    return { from: span[0], to: span[1], text: value.type === 'PLAIN' ? mode : `"${mode}"` }
  }
  if (isFlow(rings)) return inFlow(rings, `"${ring}": "${mode}"`)
  return inBlock(text, rings, lastKeyOf(rings), () => `${ring}: ${mode}`)
}

function isFlow(map: YAMLMap): boolean {
  return map.flow === true
}

function lastKeyOf(map: YAMLMap): string {
  const key = map.items.at(-1)?.key
  return isScalar(key) ? String(key.value) : ''
}

/** As the first of a flow mapping, in a form that is JSON too. */
function inFlow(map: YAMLMap, text: string): Insertion | undefined {
  const span = spanOf(map)
  if (span === undefined) return undefined
  const at = span[0] + 1
  return { from: at, to: at, text: map.items.length === 0 ? text : `${text}, ` }
}

/** On the lines after the entry `after` of a block mapping, whose value is a scalar; else before its first entry. */
function inBlock(
  text: string,
  map: YAMLMap,
  after: string,
  lines: (indent: string) => string,
): Insertion | undefined {
  const pair = map.items.find(({ key }) => isScalar(key) && key.value === after) ?? map.items[0]
  const key = spanOf(pair?.key)
  if (pair === undefined || key === undefined) return undefined
  const indent = ' '.repeat(columnOf(text, key[0]))
  const value = isScalar(pair.key) && pair.key.value === after && isScalar(pair.value) && spanOf(pair.value)
  if (value === false || value === undefined) {
    return { from: key[0], to: key[0], text: `${lines(indent)}\n${indent}` }
  }
  const lineEnd = text.indexOf('\n', value[1])
  const at = lineEnd === -1 ? text.length : lineEnd
  return { from: at, to: at, text: `\n${indent}${lines(indent)}` }
}

function spanOf(node: unknown): Range | undefined {
  return isNode(node) ? (node.range ?? undefined) : undefined
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1)
}
