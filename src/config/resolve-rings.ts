import { pathText, type Finding, type Path } from '../policy/problem.ts'
import { tokenHash } from '../rings/token.ts'
import type { RingDocument } from './ring-schema.ts'
import type { RingEntry } from './schema.ts'

/** Fewer could be guessed from its hash, which is no secret. */
const TOKEN_CHARACTERS_MIN = 20

/** The files of tokens, by where the configuration names them. */
export function tokenFiles(rings: readonly RingDocument[]): readonly { at: Path; path: string }[] {
  return rings.flatMap(({ when }, ring) =>
    when.flatMap(({ tokens }, alternative) =>
      (tokens?.files ?? []).map((path, index) => ({ at: fileAt(ring, alternative, index), path })),
    ),
  )
}

/** The same rings with the hashes of their tokens; `texts` has the files that could be read. */
export function resolveRings(
  rings: readonly RingDocument[],
  texts: ReadonlyMap<string, string>,
): { readonly rings: readonly RingEntry[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = []
  const hashOf = (at: Path): readonly string[] => {
    const token = texts.get(pathText(at))?.trim()
    if (token === undefined) return []
    const message = problemOf(token)
    if (message === undefined) return [tokenHash(token)]
    findings.push({ path: at, message })
    return []
  }
  const entries = rings.map((ring, index): RingEntry => {
    const when = ring.when.map(({ tokens, ...condition }, alternative) => {
      if (tokens === undefined) return condition
      const held = tokens.files.flatMap((_, file) => hashOf(fileAt(index, alternative, file)))
      return { ...condition, tokens: [...tokens.sha256, ...held] }
    })
    return { ...ring, when }
  })
  return { rings: entries, findings }
}

function problemOf(token: string): string | undefined {
  // Nobody could show it: two of them in one file are none.
  if (/\s/.test(token)) return 'found white space within, expected one token a file'
  if (token.length >= TOKEN_CHARACTERS_MIN) return undefined
  return `found ${token.length} characters, expected a token of at least ${TOKEN_CHARACTERS_MIN}`
}

function fileAt(ring: number, alternative: number, index: number): Path {
  return ['rings', ring, 'when', alternative, 'tokens', 'files', index]
}
