import {
  listOf,
  readSection,
  refuse,
  sectionsOf,
  type FieldRules,
  type Remarks,
  type Section,
} from '../../policy/cluster-image-policy/remarks.ts'
import type { Path } from '../../policy/problem.ts'
import { convertKeyless, convertKeys, type SignerInput } from './signer.ts'

/** An attestor set as the authorities that it names and the requirement that joins them. */
export type Joined = {
  readonly authorities: readonly (SignerInput & { readonly name: string })[]
  readonly require: RequirementInput
}

type RequirementInput =
  | string
  | { readonly any: readonly RequirementInput[] }
  | { readonly all: readonly RequirementInput[] }
  | { readonly threshold: number; readonly of: readonly string[] }

const SET: FieldRules = { count: 'converted', entries: 'converted' }

const CERTIFICATES: readonly [string, string] = [
  'found a certificate in place of a key',
  'write the public key of the signer as keys.publicKeys (openssl x509 -noout -pubkey)',
]
const ENTRY: FieldRules = {
  keys: 'converted',
  keyless: 'converted',
  attestor: 'converted',
  certificates: { refuse: CERTIFICATES },
  signatureAlgorithm: 'converted',
  annotations: {
    refuse: [
      'found annotations that a signature must have, which are not compared here',
      'have the signer attest to them, and write an expression over that attestation',
    ],
  },
  repository: {
    refuse: [
      'found a repository of signatures other than that of the image',
      'copy them beside the image (cosign copy)',
    ],
  },
}

const DEPTH_MAX = 4

/** All sets under `key` are needed. `prefix` tells the authorities of this list from those of others. */
export function convertAttestors(
  parent: Section,
  prefix: string,
  trustRoot: string | undefined,
): Joined | undefined {
  const sets = sectionsOf(parent, 'attestors', SET)
  const before = parent.remarks.refusals.length
  const joined = sets.flatMap((set, index) => {
    const name = sets.length === 1 ? prefix : `${prefix}-${index + 1}`
    return convertSet(set, { name, trustRoot, depth: 0 }) ?? []
  })
  if (sets.length === 0 || parent.remarks.refusals.length > before) return undefined
  return joinAll(joined)
}

/** All of them. One authority that several name is one. */
export function joinAll(parts: readonly Joined[]): Joined {
  const [only] = parts
  if (only !== undefined && parts.length === 1) return only
  const byName = new Map(parts.flatMap((part) => part.authorities.map((one) => [one.name, one] as const)))
  return { authorities: [...byName.values()], require: { all: parts.map(({ require }) => require) } }
}

type Place = { readonly name: string; readonly trustRoot: string | undefined; readonly depth: number }

function convertSet(set: Section, place: Place): Joined | undefined {
  const { path, remarks } = set
  const at = [...path, 'entries']
  if (place.depth > DEPTH_MAX)
    return refuse(remarks, path, 'found sets nested too deep', 'write fewer levels')
  const entries = listOf(set, 'entries').flatMap(
    (value, index) =>
      convertEntry(value, [...at, index], { ...place, name: `${place.name}-${index + 1}` }, set) ?? [],
  )
  const parts = entries.flat()
  if (listOf(set, 'entries').length === 0) return refuse(remarks, at, 'found none', 'write who may sign')
  if (parts.length === 0) return undefined
  const written = set.fields.get('count') ?? 0
  const isCount =
    typeof written === 'number' && Number.isInteger(written) && written >= 0 && written <= parts.length
  if (!isCount)
    return refuse(remarks, [...path, 'count'], 'found no count of the entries', `write 1 to ${parts.length}`)
  return joinCount(parts, written === 0 ? parts.length : written, [...path, 'count'], remarks)
}

/** Kyverno counts entries, a threshold here different signers: that is the same only where no signer is two entries. */
export function joinCount(
  parts: readonly Joined[],
  needed: number,
  path: Path,
  remarks: Remarks,
): Joined | undefined {
  const authorities = parts.flatMap((part) => part.authorities)
  const requires = parts.map(({ require }) => require)
  if (needed === parts.length) return joinAll(parts)
  if (needed === 1) return { authorities, require: { any: requires } }
  const names = requires.filter((one) => typeof one === 'string')
  const signers = new Set(authorities.map((one) => JSON.stringify('key' in one ? one.key : one.keyless)))
  const isExact = authorities.every((one) => 'key' in one)
  if (names.length === parts.length && signers.size === parts.length && isExact) {
    return { authorities, require: { threshold: needed, of: names } }
  }
  const reason =
    'found a count of entries that one signer may fulfil several of; here a threshold counts different signers'
  return refuse(
    remarks,
    path,
    reason,
    'write an ImagePolicy with require: {threshold: …, of: […]}, if that is meant',
  )
}

function convertEntry(
  value: unknown,
  path: Path,
  place: Place,
  { remarks }: Section,
): readonly Joined[] | undefined {
  const entry = readSection(value, path, ENTRY, remarks)
  if (entry === undefined) return undefined
  const kinds = ['keys', 'keyless', 'attestor'].filter((kind) => entry.fields.has(kind))
  if (kinds.length > 1) return refuse(remarks, path, `found ${kinds.join(' and ')}`, 'write exactly one')
  if (entry.fields.has('attestor')) {
    const nested = readSection(entry.fields.get('attestor'), [...path, 'attestor'], SET, remarks)
    const joined = nested === undefined ? undefined : convertSet(nested, { ...place, depth: place.depth + 1 })
    return joined === undefined ? undefined : [joined]
  }
  const keyless = convertKeyless(entry, place.trustRoot)
  const signers = keyless === undefined ? convertKeys(entry, place.trustRoot) : [keyless]
  return signers.map((signer, index) => {
    const name = signers.length === 1 ? place.name : `${place.name}-${index + 1}`
    return { authorities: [{ name, ...signer }], require: name }
  })
}
