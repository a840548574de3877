import { denialText, modesText, refusalText } from './describe.ts'
import { different, laxer, listDifferences, stricter, type Change, type Difference } from './diff-change.ts'
import { globEntry, globsText, modeDifferences, runbookDifferences } from './diff-rule.ts'
import type { Glob } from './glob.ts'
import type { Revocation } from './types.ts'

export type RevocationEntry = { readonly revocation: Revocation; readonly globs: readonly Glob[] }

export function revocationChanges(
  before: readonly RevocationEntry[],
  after: readonly RevocationEntry[],
): readonly Change[] {
  const entryOf = (entry: RevocationEntry) => ({
    key: entry.revocation.name,
    text: entry.revocation.name,
    entry,
  })
  const { gone, come } = listDifferences(before.map(entryOf), after.map(entryOf))
  return [
    ...gone.map(({ key, entry }) => ({
      policy: key,
      direction: 'laxer' as const,
      text: `the revocation is gone: ${refusalText(entry.revocation)} is no longer refused`,
    })),
    ...come.map(({ key, entry: { revocation, globs } }) => ({
      policy: key,
      direction: 'stricter' as const,
      text: `is a new revocation (${modesText(revocation.modes)}) for ${globsText(globs)}: refuses ${refusalText(revocation)}`,
    })),
    ...after.flatMap((now) => {
      const old = before.find(({ revocation }) => revocation.name === now.revocation.name)
      if (old === undefined) return []
      return revocationDifferences(old, now).map((difference) => ({
        policy: now.revocation.name,
        ...difference,
      }))
    }),
  ]
}

function revocationDifferences(before: RevocationEntry, after: RevocationEntry): readonly Difference[] {
  const [old, now] = [before.revocation, after.revocation]
  const denials = listDifferences(old.denials.map(denialEntry), now.denials.map(denialEntry))
  const globs = listDifferences(before.globs.map(globEntry), after.globs.map(globEntry))
  return [
    ...modeDifferences(old.modes, now.modes),
    ...denials.gone.map(({ text }) => laxer(`${text} is no longer refused`)),
    ...denials.come.map(({ text }) => stricter(`${text} is refused, too`)),
    ...globs.gone.map(({ text }) => laxer(`the glob ${text} is gone`)),
    ...globs.come.map(({ text }) => stricter(`the glob ${text} is new`)),
    ...(old.reason === now.reason ? [] : [different(`the reason is "${now.reason}"`)]),
    ...runbookDifferences(old, now),
  ]
}

function denialEntry(denial: Revocation['denials'][number]): { readonly key: string; readonly text: string } {
  const text = denialText(denial)
  // The text shortens the id of a key.
  return { key: denial.kind === 'key' ? `${denial.id} ${text}` : text, text }
}
