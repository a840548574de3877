import { plainName } from '../../policy/cluster-image-policy/name.ts'
import type { ImagePolicyInput } from '../../policy/cluster-image-policy/cluster-image-policy.ts'
import {
  flagOf,
  listOf,
  note,
  quoted,
  refuse,
  sectionsOf,
  textOf,
  type FieldRules,
  type Section,
} from '../../policy/cluster-image-policy/remarks.ts'
import { accepts, PUBLIC_GOOD, type ImportOptions } from '../imported.ts'
import { convertAttestors, joinAll, type Joined } from './attestor.ts'
import { celOfConditions } from './condition.ts'
import { anybody } from './identity.ts'
import { convertReference } from './image-reference.ts'

const DEPRECATED: readonly [string, string] = [
  'found a field that Kyverno has replaced',
  'write attestors with entries: keys, or keyless with issuer and subject',
]
const DROPPED = {
  note: 'how Kyverno’s webhook gets and caches things is dropped: the configuration says that here',
} as const

/** One entry of `verifyImages`. */
export const VERIFY_IMAGES: FieldRules = {
  imageReferences: 'converted',
  attestors: 'converted',
  attestations: 'converted',
  failureAction: 'converted',
  type: 'converted',
  mutateDigest: 'converted',
  verifyDigest: 'converted',
  required: { note: 'required is dropped: every pull of a matching image is judged' },
  useCache: DROPPED,
  cosignOCI11: DROPPED,
  imageRegistryCredentials: DROPPED,
  skipImageReferences: {
    refuse: [
      'found skipImageReferences; here no glob leaves anything out',
      'write imageReferences that do not match what is to be skipped',
    ],
  },
  validate: {
    refuse: [
      'found validate, a condition over several attestations at once',
      'write what must hold of each attestation as expressions of an ImagePolicy',
    ],
  },
  repository: {
    refuse: [
      'found a repository of signatures other than that of the image',
      'copy them beside the image (cosign copy)',
    ],
  },
  annotations: { refuse: DEPRECATED },
  image: { refuse: DEPRECATED },
  key: { refuse: DEPRECATED },
  roots: { refuse: DEPRECATED },
  subject: { refuse: DEPRECATED },
  issuer: { refuse: DEPRECATED },
  additionalExtensions: { refuse: DEPRECATED },
}

const ATTESTATION: FieldRules = {
  name: 'converted',
  type: 'converted',
  predicateType: 'converted',
  attestors: 'converted',
  conditions: 'converted',
}

export type VerifyImagesContext = {
  readonly name: string
  /** Of the policy, where the entry says none. */
  readonly failureAction: string | undefined
  readonly options: ImportOptions
}

/** Undefined where something is refused. */
export function convertVerifyImages(
  section: Section,
  context: VerifyImagesContext,
): ImagePolicyInput | undefined {
  const { remarks, path } = section
  const before = remarks.refusals.length
  const { trustRoot } = context.options
  const type = textOf(section, 'type') ?? 'Cosign'
  if (type !== 'Cosign' && type !== 'SigstoreBundle') {
    refuse(
      remarks,
      [...path, 'type'],
      `found ${quoted(type)} signatures, which are not verified here`,
      'sign with cosign',
    )
  }
  refuseTags(section)
  const images = convertImages(section)
  const signed = convertAttestors(section, 'signer', trustRoot)
  const attested = sectionsOf(section, 'attestations', ATTESTATION).flatMap(
    (attestation, index) => convertAttestation(attestation, index, context.options) ?? [],
  )
  const parts = signed === undefined ? attested : [signed, ...attested]
  const mode = convertAction(section, context.failureAction)
  if (parts.length === 0 && remarks.refusals.length === before) {
    refuse(
      remarks,
      path,
      'found neither attestors nor attestations, so that nothing is verified',
      'drop the entry',
    )
  }
  if (remarks.refusals.length > before) return undefined
  const { authorities, require } = joinAll(parts)
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: context.name },
    spec: { mode, images, authorities, ...(typeof require === 'string' ? {} : { require }) },
  }
}

/** Digests are put in place of tags by default; without that Kyverno turns tags away, which a proxy cannot. */
function refuseTags(section: Section): void {
  if (flagOf(section, 'mutateDigest') !== false || flagOf(section, 'verifyDigest') === false) return
  const reason =
    'found verifyDigest without mutateDigest, which turns images by tag away; a proxy resolves tags, and judges what they lead to'
  refuse(
    section.remarks,
    [...section.path, 'mutateDigest'],
    reason,
    'write verifyDigest: false, and ask for digests in the cluster',
  )
}

function convertImages(section: Section): readonly { readonly glob: string }[] {
  const { path, remarks } = section
  const references = listOf(section, 'imageReferences')
  if (references.length === 0) refuse(remarks, [...path, 'imageReferences'], 'found none', 'write the images')
  return references.flatMap((reference, index) => {
    const at = [...path, 'imageReferences', index]
    if (typeof reference !== 'string') return refuse(remarks, at, 'found no text') ?? []
    const result = convertReference(reference)
    if (!result.ok) return refuse(remarks, at, result.reason, result.instead) ?? []
    if (result.note !== undefined) note(remarks, at, result.note)
    return [{ glob: result.glob }]
  })
}

function convertAction(section: Section, fallback: string | undefined): 'enforce' | 'observe' | undefined {
  const action = (textOf(section, 'failureAction') ?? fallback ?? 'Audit').toLowerCase()
  if (action === 'enforce') return 'enforce'
  if (action === 'audit') return 'observe'
  return refuse(
    section.remarks,
    [...section.path, 'failureAction'],
    `found ${quoted(action)}`,
    'write Enforce or Audit',
  )
}

/** Who attests, and what the attestation must say: the demand is of every one of its authorities. */
function convertAttestation(section: Section, index: number, options: ImportOptions): Joined | undefined {
  const { path, remarks } = section
  const predicateType = textOf(section, 'type') ?? textOf(section, 'predicateType')
  const expressions = convertConditions(section, options)
  if (predicateType === undefined || !URL.canParse(predicateType)) {
    return refuse(
      remarks,
      [...path, 'type'],
      `found ${quoted(predicateType ?? 'nothing')}, which is no URI`,
      'write the predicate type as attestations have it',
    )
  }
  const prefix = `attestor-${index + 1}`
  const joined =
    listOf(section, 'attestors').length === 0
      ? {
          authorities: [
            { name: prefix, keyless: { trustRoot: options.trustRoot ?? PUBLIC_GOOD, ...anybody(section) } },
          ],
          require: prefix,
        }
      : convertAttestors(section, prefix, options.trustRoot)
  if (joined === undefined) return undefined
  const demand = {
    name: plainName(textOf(section, 'name') ?? `attestation-${index + 1}`),
    predicateType,
    ...(expressions.length === 0 ? {} : { expressions }),
  }
  return {
    ...joined,
    authorities: joined.authorities.map((authority) => ({ ...authority, attestations: [demand] })),
  }
}

function convertConditions(
  section: Section,
  options: ImportOptions,
): readonly { readonly expression: string }[] {
  const at = [...section.path, 'conditions']
  const blocks = listOf(section, 'conditions')
  if (blocks.length === 0) return []
  const derived = celOfConditions(blocks)
  if (!derived.ok) {
    const instead = `write them as CEL under expressions of an ImagePolicy; they are not derived for you because ${derived.why}`
    return (
      refuse(section.remarks, at, 'found conditions in JMESPath, which are not evaluated here', instead) ?? []
    )
  }
  const expressions = derived.conditions.map((expression) => ({ expression }))
  const text = derived.conditions
    .map((expression) => `{expression: ${JSON.stringify(expression)}}`)
    .join(', ')
  const instead = `write an ImagePolicy with expressions: [${text}]`
  return accepts(options, section.remarks, at, ['one-attestation', instead]) ? expressions : []
}
