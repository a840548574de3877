import type { ImagePolicyInput } from '../policy/cluster-image-policy/cluster-image-policy.ts'
import type { Note, Refusal, Remarks } from '../policy/cluster-image-policy/remarks.ts'
import { note, refuse } from '../policy/cluster-image-policy/remarks.ts'
import type { Path } from '../policy/problem.ts'

/** What one document of another system comes to. Where anything is refused there is nothing: a part is another policy. */
export type Import = {
  readonly policies: readonly ImagePolicyInput[]
  /** What the configuration must say for the policies to mean the same, as parts of its document. */
  readonly configuration: readonly Readonly<Record<string, unknown>>[]
  /** What the configuration names. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  readonly refusals: readonly Refusal[]
  readonly notes: readonly Note[]
}

/** Where an import is laxer than what it is of, and somebody has to say that this is meant. */
export const DIFFERENCES = {
  names:
    'a signature counts for its digest under every name: signedIdentity is not compared (containers policy.json)',
  'one-attestation':
    'one attestation that fulfils the conditions is enough; there all of the type must (Kyverno)',
  'other-images':
    'images that the policy does not match are left to policies.unmatched; there it denies them (ImageValidatingPolicy)',
} as const

export type Difference = keyof typeof DIFFERENCES

export type ImportOptions = {
  /** The trust root that stands for the one that the other system was started with. Undefined: the public one. */
  readonly trustRoot: string | undefined
  readonly accept: ReadonlySet<Difference>
  /** The text of a key file that a document names; undefined where it cannot be read. */
  readKeyFile(path: string): string | undefined
}

export const PUBLIC_GOOD = 'public-good'

/** Whether the difference is accepted, which is noted; else it is refused. */
export function accepts(
  { accept }: ImportOptions,
  remarks: Remarks,
  path: Path,
  [difference, instead]: readonly [Difference, string],
): boolean {
  if (accept.has(difference)) {
    note(remarks, path, `accepted: ${DIFFERENCES[difference]}`)
    return true
  }
  const reason = `cannot be enforced the same: ${DIFFERENCES[difference]}`
  refuse(remarks, path, reason, `${instead}, or accept that with --accept ${difference}`)
  return false
}

export function imported(remarks: Remarks, parts: Partial<Omit<Import, 'refusals' | 'notes'>>): Import {
  const none: Import = { policies: [], configuration: [], files: [], ...remarks }
  return remarks.refusals.length > 0 ? none : { ...none, ...parts }
}
