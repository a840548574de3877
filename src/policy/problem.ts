import type * as z from 'zod'
import { closest } from './suggestion.ts'

/** One thing wrong with a file or variable that an operator wrote. The start stops, and all of them are shown. */
export type Problem = {
  /** As the operator named it, or `environment`. */
  readonly file: string
  /** From 1; undefined where the place has no lines. */
  readonly line: number | undefined
  /** `upstreams.ghcr.io.url`, or the name of the variable; empty for the document itself. */
  readonly path: string
  /** What was found, what was expected, how to mend it: one line, never with a secret in it. */
  readonly message: string
}

export type Path = readonly PropertyKey[]

/** A problem whose place in its file is still to be found. */
export type Finding = { readonly path: Path; readonly message: string }

/** Collects what is wrong, so that every mistake of a document is told at once. */
export type Report = (path: Path, message: string) => undefined

const SHOWN_CHARACTERS_MAX = 80
/** Keys whose values are never repeated in a message. */
const SECRET_KEYS: ReadonlySet<PropertyKey> = new Set(['auth', 'password', 'tokens', 'sha256', 'username'])

/** `file:line: path: message`, the shape that editors and CI systems turn into links. */
export function problemText(problem: Problem): string {
  const place = problem.line === undefined ? problem.file : `${problem.file}:${problem.line}`
  return problem.path === ''
    ? `${place}: ${problem.message}`
    : `${place}: ${problem.path}: ${problem.message}`
}

/** `a.b[0].c`. */
export function pathText(path: Path): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')
}

/** Turns what zod says into sentences. `jsonSchema` is the published schema of the same document, for suggestions. */
export function findingsOf(issues: readonly z.core.$ZodIssue[], jsonSchema: unknown): readonly Finding[] {
  return issues.flatMap((issue) => meantIssues(issue)).flatMap((issue) => describeIssue(issue, jsonSchema))
}

function describeIssue(issue: z.core.$ZodIssue, jsonSchema: unknown): readonly Finding[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(jsonSchema, path)
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(key, known) }))
  }
  if (issue.code === 'custom' && !issue.message.startsWith('expected'))
    return [{ path, message: issue.message }]
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? issue.message }]
  const input = inputOf(issue)
  const key = path.findLast((part) => typeof part !== 'number') ?? ''
  const secret = SECRET_KEYS.has(key) && input !== undefined
  // A message of the schema's own starts with "expected" and knows better than the code.
  const expected = issue.message.startsWith('expected') ? issue.message : expectedBy(issue)
  return [{ path, message: `found ${secret ? 'a hidden value' : show(input)}, ${expected}` }]
}

/** For a choice by one key zod gives the whole mapping: what was found is the value of that key. */
function inputOf(issue: z.core.$ZodIssue): unknown {
  const { input, path } = issue
  return issue.code === 'invalid_union' && isRecord(input) ? input[String(path.at(-1))] : input
}

function expectedBy(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `expected ${TYPE_NAMES[issue.expected] ?? issue.expected}`
  if (issue.code === 'invalid_value') return `expected ${issue.values.map(String).join(' or ')}`
  if (issue.code === 'invalid_union') return unionExpectation(issue)
  if (issue.code === 'too_small') return `expected at least ${issue.minimum}${unitOf(issue.origin)}`
  if (issue.code === 'too_big') return `expected at most ${issue.maximum}${unitOf(issue.origin)}`
  return issue.message
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  int: 'a whole number',
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
}

function unionExpectation(issue: z.core.$ZodIssueInvalidUnion): string {
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : []
  if (options.length > 0) return `expected ${options.map(String).join(' or ')}`
  const types = issue.errors.flatMap((branch) => branch.filter(isOfOtherType).map(expectedBy))
  const names = new Set(types.map((text) => text.replace(/^expected /, '')))
  return names.size === 0 ? issue.message : `expected ${[...names].join(' or ')}`
}

/** Of a choice between types: what is wrong by the only one that the value has; the issue itself where it has none. */
function meantIssues(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const [branch, ...others] = issue.errors.filter((issues) => !issues.some(isOfOtherType))
  if (branch === undefined || others.length > 0) return [issue]
  return branch.flatMap((inner) => meantIssues({ ...inner, path: [...issue.path, ...inner.path] }))
}

function isOfOtherType({ code, path }: z.core.$ZodIssue): boolean {
  return code === 'invalid_type' && path.length === 0
}

function unitOf(origin: string): string {
  return origin === 'string' ? ' characters' : origin === 'array' || origin === 'record' ? ' entries' : ''
}

/** A value as a message quotes it. */
function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'a mapping'
  // A URL may hold credentials, which have no place in a log.
  const text = JSON.stringify(value).replace(/\/\/[^/@]*@/, '//...@')
  return text.length <= SHOWN_CHARACTERS_MAX ? text : `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = closest(key, known)
  if (near !== undefined) return `unknown key, did you mean ${near}?`
  return known.length === 0 ? 'unknown key' : `unknown key, expected one of ${known.join(', ')}`
}

function knownKeys(schema: unknown, path: Path): readonly string[] {
  if (!isRecord(schema)) return []
  const alternatives = [schema['anyOf'], schema['oneOf']].flatMap((list) => (Array.isArray(list) ? list : []))
  const nested = alternatives.flatMap((alternative) => knownKeys(alternative, path))
  const properties = isRecord(schema['properties']) ? schema['properties'] : {}
  const [head, ...rest] = path
  if (head === undefined) return [...Object.keys(properties), ...nested]
  const next =
    typeof head === 'number' ? schema['items'] : (properties[String(head)] ?? schema['additionalProperties'])
  return [...knownKeys(next, rest), ...nested]
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
