import { parseImageReference, repositoryName } from '../oci/reference.ts'
import type { Glob } from './glob.ts'

/** Names that show what a glob is about, so that nothing about two globs need be claimed without an image to show. */

/** A star or two, or one character that stands for itself. */
type Token = string

/** What `*` stands for in an example. */
const SOME_NAME = 'app'
const SOME_PATH = 'team/app'
/** Where even the registry is a wildcard. */
const SOME_REPOSITORIES = ['registry.example/app', 'registry.example/team/app', 'docker.io/library/app']
/** Two globs have 512 characters each at most; more states than this are not worth an example. */
const STATES_MAX = 50_000

/** Repositories that the glob matches, at most one for each depth: what holds of all of them holds of the glob. */
export function examplesOf(glob: Glob): readonly string[] {
  const filled = [SOME_NAME, SOME_PATH].map((path) =>
    glob.canonical.replaceAll(/\*+/g, (stars) => (stars === '*' ? SOME_NAME : path)),
  )
  const examples = [...filled, ...SOME_REPOSITORIES].filter(
    (name) => isRepository(name) && glob.matches(name),
  )
  return [...new Set(examples)].slice(0, 2)
}

/** A repository that both match; undefined where none was found. */
export function sharedExample(one: Glob, other: Glob): string | undefined {
  if (!mayShare(one, other)) return undefined
  const isShared = (name: string): boolean => isRepository(name) && one.matches(name) && other.matches(name)
  const easy = [...examplesOf(one), ...examplesOf(other)].find(isShared)
  if (easy !== undefined) return easy
  const found = meet(tokensOf(one), tokensOf(other))
  return found !== undefined && isShared(found) ? found : undefined
}

function mayShare(one: Glob, other: Glob): boolean {
  return one.literal.startsWith(other.literal) || other.literal.startsWith(one.literal)
}

function isRepository(name: string): boolean {
  const parsed = parseImageReference(name)
  return parsed !== undefined && repositoryName(parsed.repository) === name
}

function tokensOf({ canonical }: Glob): readonly Token[] {
  return canonical.split(/(\*\*|\*)/).flatMap((part) => (part.startsWith('*') ? [part] : part.split('')))
}

type State = { readonly i: number; readonly j: number; readonly text: string }

/** The shortest text that both accept, by a search over the pairs of positions. A component is never left empty. */
function meet(a: readonly Token[], b: readonly Token[]): string | undefined {
  const seen = new Set<string>()
  let edge: readonly State[] = [{ i: 0, j: 0, text: '' }]
  while (edge.length > 0 && seen.size < STATES_MAX) {
    const next: State[] = []
    for (const state of edge) {
      const { i, j, text } = state
      if (i === a.length && j === b.length && isWhole(text)) return text
      const key = `${i} ${j} ${isWhole(text)}`
      if (seen.has(key)) continue
      seen.add(key)
      next.push(...stepsFrom(state, a[i], b[j]))
    }
    edge = next
  }
  return undefined
}

function stepsFrom({ i, j, text }: State, a: Token | undefined, b: Token | undefined): readonly State[] {
  const steps: State[] = []
  if (isStar(a)) steps.push({ i: i + 1, j, text })
  if (isStar(b)) steps.push({ i, j: j + 1, text })
  for (const letter of lettersOf(a, b)) {
    if (letter === '/' && !isWhole(text)) continue
    steps.push({ i: isStar(a) ? i : i + 1, j: isStar(b) ? j : j + 1, text: text + letter })
  }
  return steps
}

/** What both can go on with. */
function lettersOf(a: Token | undefined, b: Token | undefined): readonly string[] {
  if (a === undefined || b === undefined) return []
  if (isStar(a) && isStar(b)) return ['x']
  if (isStar(a)) return a === '*' && b === '/' ? [] : [b]
  if (isStar(b)) return b === '*' && a === '/' ? [] : [a]
  return a === b ? [a] : []
}

function isStar(token: Token | undefined): boolean {
  return token === '*' || token === '**'
}

/** Whether a name may end here, or go on with a slash. */
function isWhole(text: string): boolean {
  return /[a-z0-9]$/.test(text)
}
