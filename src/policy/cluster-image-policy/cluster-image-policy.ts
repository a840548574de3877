import { AUTHORITY, convertAuthority, type AuthorityInput } from './authority.ts'
import { POLICY, refuseEmpty } from './attestation.ts'
import { convertImageGlob } from './image-glob.ts'
import { GROUP } from './group.ts'
import {
  kindOf,
  listOf,
  newRemarks,
  note,
  quoted,
  readSection,
  refuse,
  sectionOf,
  sectionsOf,
  textOf,
  type FieldRules,
  type Note,
  type Refusal,
  type Section,
} from './remarks.ts'

/** An ImagePolicy document before its own schema reads it. */
export type ImagePolicyInput = {
  readonly apiVersion: 'portcullis.dev/v1alpha1'
  readonly kind: 'ImagePolicy'
  readonly metadata: { readonly name: string }
  readonly spec: Readonly<Record<string, unknown>>
}

/** What a document of another system comes to. Where anything is refused there are no documents: a part is another policy. */
export type Conversion = {
  readonly documents: readonly ImagePolicyInput[]
  readonly refusals: readonly Refusal[]
  readonly notes: readonly Note[]
}

export type ClusterImagePolicyOptions = {
  /** The trust root that policy-controller was started with (its TUF root). Undefined: the public one, if nothing speaks against it. */
  readonly trustRoot: string | undefined
}

const VERSIONS: readonly unknown[] = [`${GROUP}v1alpha1`, `${GROUP}v1beta1`]

const BOOKKEEPING = { note: 'what the API server keeps about an object is dropped' } as const
const METADATA: FieldRules = {
  name: 'converted',
  labels: { note: 'labels are dropped: nothing here selects by them' },
  annotations: { note: 'annotations are dropped' },
  creationTimestamp: BOOKKEEPING,
  finalizers: BOOKKEEPING,
  generation: BOOKKEEPING,
  managedFields: BOOKKEEPING,
  ownerReferences: BOOKKEEPING,
  resourceVersion: BOOKKEEPING,
  selfLink: BOOKKEEPING,
  uid: BOOKKEEPING,
}

const DOCUMENT: FieldRules = {
  apiVersion: 'converted',
  kind: 'converted',
  metadata: 'converted',
  spec: 'converted',
  status: BOOKKEEPING,
}

const SPEC: FieldRules = {
  images: 'converted',
  authorities: 'converted',
  policy: 'converted',
  mode: 'converted',
  match: {
    refuse: [
      'found match, which selects Kubernetes resources; a proxy sees images only',
      'drop it if the policy is to hold for every pull, or keep this policy in the cluster; clients are told apart by rings',
    ],
  },
}

const IMAGE: FieldRules = { glob: 'converted' }
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/

/**
 * A ClusterImagePolicy as one ImagePolicy that comes to the same verdicts. Lists keep their order and length, so that what
 * is found in the converted document stands at the same path of the original.
 */
export function documentsFromClusterImagePolicy(
  value: unknown,
  options: ClusterImagePolicyOptions = { trustRoot: undefined },
): Conversion {
  const remarks = newRemarks()
  const document = readSection(value, [], DOCUMENT, remarks)
  if (document === undefined || !isClusterImagePolicy(document)) return { documents: [], ...remarks }
  const name = policyName(document)
  const spec = sectionOf(document, 'spec', SPEC)
  if (spec === undefined) refuse(remarks, ['spec'], 'found none', 'write images and authorities')
  const converted = spec === undefined ? undefined : convertSpec(spec, options)
  if (remarks.refusals.length > 0 || name === undefined || converted === undefined)
    return { documents: [], ...remarks }
  const input: ImagePolicyInput = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name },
    spec: converted,
  }
  return { documents: [input], ...remarks }
}

function isClusterImagePolicy({ fields, remarks }: Section): boolean {
  const { apiVersion, kind } = Object.fromEntries(fields)
  if (kind === 'TrustRoot') {
    const reason = 'found a TrustRoot, which is configuration and no policy'
    refuse(
      remarks,
      ['kind'],
      reason,
      'run portcullis policy import on it, and put what it prints under trust.roots',
    )
  } else if (kind !== 'ClusterImagePolicy') {
    const found = typeof kind === 'string' ? quoted(kind) : kindOf(kind)
    refuse(remarks, ['kind'], `found ${found}`, 'ClusterImagePolicy is read')
  } else if (!VERSIONS.includes(apiVersion)) {
    refuse(
      remarks,
      ['apiVersion'],
      `found ${quoted(String(apiVersion))}`,
      `${VERSIONS.join(' and ')} are read`,
    )
  } else return true
  return false
}

/** The name that refusals and records call it by. */
export function policyName(document: Section): string | undefined {
  const metadata = sectionOf(document, 'metadata', METADATA)
  const name = metadata === undefined ? undefined : textOf(metadata, 'name')
  const at = ['metadata', 'name']
  if (name === undefined) return refuse(document.remarks, at, 'found none', 'write the name of the policy')
  if (NAME.test(name) && name !== 'unmatched') return name
  const instead = 'write at most 63 lower case letters, digits, dots and dashes, and not "unmatched"'
  return refuse(document.remarks, at, `found ${quoted(name)}, which no policy can be called here`, instead)
}

function convertSpec(spec: Section, options: ClusterImagePolicyOptions): Readonly<Record<string, unknown>> {
  const { path, remarks } = spec
  const images = sectionsOf(spec, 'images', IMAGE).flatMap((section) => convertImage(section) ?? [])
  if (listOf(spec, 'images').length === 0) refuse(remarks, [...path, 'images'], 'found none', 'write a glob')
  const names = new Set<string>()
  const authorities = sectionsOf(spec, 'authorities', AUTHORITY).flatMap(
    (section, index) => convertAuthority(section, index, { ...options, names }) ?? [],
  )
  if (listOf(spec, 'authorities').length === 0) {
    refuse(
      remarks,
      [...path, 'authorities'],
      'found none, so that nothing is ever admitted',
      'write who may sign, or static: {action: fail}',
    )
  }
  refuseDocumentPolicy(spec, authorities)
  return { mode: convertMode(spec), images, authorities }
}

function convertImage(section: Section): { readonly glob: string } | undefined {
  const at = [...section.path, 'glob']
  const written = textOf(section, 'glob')
  if (written === undefined) return refuse(section.remarks, at, 'found none', 'write a glob')
  const result = convertImageGlob(written)
  if (!result.ok) return refuse(section.remarks, at, result.reason, result.instead)
  if (result.glob !== written)
    note(section.remarks, at, `${written} is ${result.glob} here, where names have no digest`)
  return { glob: result.glob }
}

function convertMode(spec: Section): 'enforce' | 'observe' | undefined {
  const mode = textOf(spec, 'mode') ?? 'enforce'
  if (mode === 'enforce') return mode
  if (mode === 'warn') return 'observe'
  return refuse(spec.remarks, [...spec.path, 'mode'], `found ${quoted(mode)}`, 'write enforce or warn')
}

/** It is asked when an authority is satisfied, and sees which ones are: mostly to demand more than one. */
function refuseDocumentPolicy(spec: Section, authorities: readonly AuthorityInput[]): void {
  const policy = sectionOf(spec, 'policy', POLICY)
  const data = policy === undefined ? undefined : textOf(policy, 'data')
  if (policy === undefined) return
  if (data === undefined) return refuseEmpty(policy)
  const named = authorities.filter(({ name }) => data.includes(name))
  const all = named.map(({ name }) => name).join(', ')
  const example =
    named.length < 2 ? 'for instance all, any or a threshold of authorities' : `for instance {all: [${all}]}`
  refuse(
    spec.remarks,
    [...policy.path, 'data'],
    'found a policy over what the authorities found, which is not evaluated here',
    `write which authorities are needed together under require, ${example}, and the rest as expressions of their attestations`,
  )
}
