import { keyReferencesOf } from '../policy/bind.ts'
import { UNMATCHED } from '../policy/decide.ts'
import type { Problem } from '../policy/problem.ts'
import type { TestSetting } from './run.ts'
import type { TestCase, TestSuite } from './suite.ts'

/** So many names are worth reading. */
const NAMED_MAX = 8

type Known = Readonly<Record<'policy' | 'ring' | 'trust root' | 'key reference', ReadonlySet<string>>>

/** Names in test cases that mean nothing: an outage of a key that nobody uses, misspelt, would let a case pass. */
export function unknownNames(suite: TestSuite, setting: TestSetting): readonly Problem[] {
  const { policies, revocations } = setting.set
  const known: Known = {
    policy: new Set([...[...policies, ...revocations].map(({ name }) => name), UNMATCHED]),
    ring: new Set(setting.rings.keys()),
    'trust root': setting.rootNames,
    'key reference': new Set(keyReferencesOf(setting.set)),
  }
  return suite.cases.flatMap((one) =>
    namesIn(one)
      .filter(({ kind, name }) => !known[kind].has(name))
      .map(({ kind, name, path }) => ({
        file: suite.file,
        line: one.line,
        path,
        message: `found ${JSON.stringify(name)}, expected a ${kind}: ${listText(known[kind])}`,
      })),
  )
}

type Named = { readonly kind: keyof Known; readonly name: string; readonly path: string }

function namesIn({ ring, evidence, outages, satisfiedBefore, expect }: TestCase): readonly Named[] {
  const policy = (path: string, names: readonly string[]): readonly Named[] =>
    names.map((name) => ({ kind: 'policy', name, path }))
  return [
    { kind: 'ring', name: ring, path: 'ring' },
    ...evidence.flatMap((one): readonly Named[] => {
      if (one.kind === 'bundle') return []
      const { signer, trustRoot, logged, signedAt } = one
      // Of a key without log and time no trust root says anything.
      const hasRoot = signer.kind === 'keyless' || logged || signedAt !== undefined
      const root: readonly Named[] = hasRoot
        ? [{ kind: 'trust root', name: trustRoot, path: 'evidence.trustRoot' }]
        : []
      if (signer.kind !== 'reference') return root
      const { reference: name } = signer
      return [...root, { kind: 'key reference', name, path: 'evidence.signer.key.reference' }]
    }),
    ...outages.flatMap(({ dependency, name }): readonly Named[] => {
      if (name === undefined || (dependency !== 'kms' && dependency !== 'trust')) return []
      return [{ kind: dependency === 'kms' ? 'key reference' : 'trust root', name, path: 'outages.name' }]
    }),
    ...policy('satisfiedBefore', satisfiedBefore),
    ...policy('expect.policies', Object.keys(expect.policies ?? {})),
    ...policy('expect.warnings', expect.warnings ?? []),
  ]
}

function listText(names: ReadonlySet<string>): string {
  if (names.size === 0) return 'there is none'
  const more = names.size - NAMED_MAX
  const named = [...names].slice(0, NAMED_MAX).join(', ')
  return more > 0 ? `${named} and ${more} more` : named
}
