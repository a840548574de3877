import { policyName, type ImagePolicyInput } from '../../policy/cluster-image-policy/cluster-image-policy.ts'
import { plainName } from '../../policy/cluster-image-policy/name.ts'
import {
  flagOf,
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
  type Section,
} from '../../policy/cluster-image-policy/remarks.ts'
import { isRecord } from '../../policy/problem.ts'
import { accepts, imported, type Import, type ImportOptions } from '../imported.ts'
import { joinAll, joinCount, type Joined } from './attestor.ts'
import { convertCosignAttestor } from './cosign-attestor.ts'
import { convertReference } from './image-reference.ts'
import type { SignerInput } from './signer.ts'
import { readValidation, type Validation } from './validation.ts'

/** Kyverno's ImageValidatingPolicy, where its expressions say no more than who must have signed and what must be attested. */

const WEBHOOK = {
  note: 'how and when the webhook is called is dropped; what an outage does is said by stance here',
} as const
const CLUSTER: readonly [string, string] = [
  'found a condition on Kubernetes resources; a proxy sees images only',
  'drop it if the policy is to hold for every pull, or keep the policy in the cluster; clients are told apart by rings',
]
const DOCUMENT: FieldRules = {
  apiVersion: 'converted',
  kind: 'converted',
  metadata: 'converted',
  spec: 'converted',
  status: { note: 'what the API server keeps about an object is dropped' },
}
const SPEC: FieldRules = {
  matchImageReferences: 'converted',
  attestors: 'converted',
  attestations: 'converted',
  validations: 'converted',
  validationActions: 'converted',
  validationConfigurations: 'converted',
  matchConstraints: 'converted',
  matchConditions: { refuse: CLUSTER },
  images: { note: 'images is dropped: a proxy sees every image that is pulled' },
  variables: { note: 'variables is dropped: what is written with them is refused' },
  auditAnnotations: { note: 'auditAnnotations is dropped' },
  credentials: WEBHOOK,
  failurePolicy: WEBHOOK,
  webhookConfiguration: WEBHOOK,
  evaluation: WEBHOOK,
  autogen: WEBHOOK,
}
const REFERENCE: FieldRules = {
  glob: 'converted',
  expression: { refuse: ['found an expression', 'write a glob'] },
}
const ATTESTATION: FieldRules = {
  name: 'converted',
  intoto: 'converted',
  referrer: {
    refuse: ['found an artifact that Notary signs, which is not verified here', 'attest to it with cosign'],
  },
}
const VALIDATION: FieldRules = {
  expression: 'converted',
  message: { note: 'messages of validations are dropped: a refusal says what was found and expected' },
  messageExpression: {
    note: 'messages of validations are dropped: a refusal says what was found and expected',
  },
  reason: { note: 'messages of validations are dropped: a refusal says what was found and expected' },
}
const CONFIGURATIONS: FieldRules = {
  mutateDigest: 'converted',
  verifyDigest: 'converted',
  required: { note: 'required is dropped: every pull of a matching image is judged' },
}

type Named = {
  readonly signers: ReadonlyMap<string, SignerInput>
  /** Predicate types of the attestations. */
  readonly types: ReadonlyMap<string, string>
}

export function importImageValidatingPolicy(value: unknown, options: ImportOptions): Import {
  const remarks = newRemarks()
  const document = readSection(value, [], DOCUMENT, remarks)
  const name = document === undefined ? undefined : policyName(document)
  const spec = document === undefined ? undefined : sectionOf(document, 'spec', SPEC)
  if (document?.fields.get('kind') === 'NamespacedImageValidatingPolicy') {
    const reason = 'found a policy of one namespace; a proxy knows none'
    refuse(remarks, ['kind'], reason, 'write ImageValidatingPolicy if it is to hold for every pull')
  }
  if (spec === undefined || name === undefined) return imported(remarks, {})
  checkMatch(spec)
  const images = convertImages(spec, options)
  const joined = joinValidations(spec, namedOf(spec, options), options)
  const mode = convertActions(spec)
  if (joined === undefined) return imported(remarks, {})
  const { authorities, require } = joined
  const policy: ImagePolicyInput = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name },
    spec: { mode, images, authorities, ...(typeof require === 'string' ? {} : { require }) },
  }
  return imported(remarks, { policies: [policy] })
}

function checkMatch(spec: Section): void {
  const { path, remarks } = spec
  const constraints = spec.fields.get('matchConstraints')
  const isPlain =
    constraints === undefined ||
    (isRecord(constraints) && Object.keys(constraints).every((key) => key === 'resourceRules'))
  if (!isPlain) refuse(remarks, [...path, 'matchConstraints'], ...CLUSTER)
  else if (constraints !== undefined)
    note(
      remarks,
      [...path, 'matchConstraints'],
      'matchConstraints is dropped: the policy holds for every pull, whatever the resource',
    )
  const configurations = sectionOf(spec, 'validationConfigurations', CONFIGURATIONS)
  if (configurations === undefined) return
  if (flagOf(configurations, 'mutateDigest') !== false || flagOf(configurations, 'verifyDigest') === false)
    return
  const reason =
    'found verifyDigest without mutateDigest, which turns images by tag away; a proxy resolves tags, and judges what they lead to'
  refuse(
    remarks,
    configurations.path,
    reason,
    'write verifyDigest: false, and ask for digests in the cluster',
  )
}

/** Without references every image is meant. With them the functions count 0 for the others, which so are denied. */
function convertImages(spec: Section, options: ImportOptions): readonly { readonly glob: string }[] {
  const { path, remarks } = spec
  const references = sectionsOf(spec, 'matchImageReferences', REFERENCE)
  if (references.length === 0) return [{ glob: '**' }]
  const images = references.flatMap((reference) => {
    const at = [...reference.path, 'glob']
    const result = convertReference(textOf(reference, 'glob') ?? '')
    if (!result.ok) return refuse(remarks, at, result.reason, result.instead) ?? []
    if (result.note !== undefined) note(remarks, at, result.note)
    return [{ glob: result.glob }]
  })
  if (images.some(({ glob }) => glob === '**')) return images
  const instead =
    'write glob: "*" if all images must be signed so, or an ImagePolicy for these and policies.unmatched: enforce'
  accepts(options, remarks, [...path, 'matchImageReferences'], ['other-images', instead])
  return images
}

function namedOf(spec: Section, { trustRoot }: ImportOptions): Named {
  const { path, remarks } = spec
  const signers = listOf(spec, 'attestors').flatMap((value, index) => {
    const named = convertCosignAttestor(value, [...path, 'attestors', index], trustRoot, remarks)
    return named === undefined ? [] : [[named.name, named.signer] as const]
  })
  const types = sectionsOf(spec, 'attestations', ATTESTATION).flatMap((section) => {
    const intoto = sectionOf(section, 'intoto', { type: 'converted' })
    const type = intoto === undefined ? undefined : textOf(intoto, 'type')
    const name = textOf(section, 'name')
    if (intoto === undefined || name === undefined) return []
    if (type !== undefined && URL.canParse(type)) return [[name, type] as const]
    return (
      refuse(
        remarks,
        [...intoto.path, 'type'],
        `found ${quoted(type ?? 'nothing')}, which is no URI`,
        'write the predicate type',
      ) ?? []
    )
  })
  return { signers: new Map(signers), types: new Map(types) }
}

/** All validations must hold. */
function joinValidations(spec: Section, named: Named, options: ImportOptions): Joined | undefined {
  const { path, remarks } = spec
  const read = sectionsOf(spec, 'validations', VALIDATION).flatMap((section) => {
    const at = [...section.path, 'expression']
    const text = textOf(section, 'expression') ?? ''
    const validation = readValidation(text)
    if (validation === undefined) {
      const instead =
        'write who must sign as authorities of an ImagePolicy, and what attestations must say as expressions'
      return (
        refuse(remarks, at, `found ${quoted(text)}, which says more than can be converted`, instead) ?? []
      )
    }
    if (validation.kind === 'payload') {
      const own = `write an ImagePolicy with expressions: [{expression: ${JSON.stringify(validation.expression)}}]`
      accepts(options, remarks, at, ['one-attestation', own])
    }
    return [{ validation, at }]
  })
  const demands = read.flatMap(({ validation }) => (validation.kind === 'payload' ? [validation] : []))
  const attested = new Set(
    read.flatMap(({ validation }) => (validation.kind === 'attestation' ? [validation.attestation] : [])),
  )
  const parts = read.flatMap(({ validation, at }) => {
    if (validation.kind !== 'payload') return join(validation, { named, demands, at, spec }) ?? []
    if (attested.has(validation.attestation)) return []
    return (
      refuse(
        remarks,
        at,
        'found a payload whose signatures no validation verifies',
        'write verifyAttestationSignatures, too',
      ) ?? []
    )
  })
  if (remarks.refusals.length > 0) return undefined
  if (parts.length === 0)
    return refuse(remarks, [...path, 'validations'], 'found none', 'write who must sign')
  return joinAll(parts)
}

type Joining = {
  readonly named: Named
  readonly demands: readonly Extract<Validation, { kind: 'payload' }>[]
  readonly at: readonly PropertyKey[]
  readonly spec: Section
}

function join(
  validation: Exclude<Validation, { kind: 'payload' }>,
  { named, demands, at, spec }: Joining,
): Joined | undefined {
  const attestation = validation.kind === 'attestation' ? validation.attestation : undefined
  const predicateType = attestation === undefined ? undefined : named.types.get(attestation)
  const expressions = demands
    .filter((one) => one.attestation === attestation)
    .map(({ expression }) => ({ expression }))
  const parts = validation.attestors.flatMap((attestor) => {
    const signer = named.signers.get(attestor)
    if (signer === undefined) return []
    const name = plainName(attestation === undefined ? attestor : `${attestor}-${attestation}`)
    if (attestation === undefined) return [{ authorities: [{ name, ...signer }], require: name }]
    if (predicateType === undefined) return []
    const demand = {
      name: plainName(attestation),
      predicateType,
      ...(expressions.length === 0 ? {} : { expressions }),
    }
    return [{ authorities: [{ name, ...signer, attestations: [demand] }], require: name }]
  })
  if (parts.length === validation.attestors.length)
    return joinCount(parts, validation.needed, at, spec.remarks)
  // Of one that is there and could not be converted enough has been said.
  if (spec.remarks.refusals.length > 0) return undefined
  return refuse(spec.remarks, at, 'found an attestor or attestation that is not declared', 'declare it')
}

function convertActions(spec: Section): 'enforce' | 'observe' | undefined {
  const actions = listOf(spec, 'validationActions')
  if (actions.length === 0 || actions.includes('Deny')) return 'enforce'
  if (actions.every((action) => action === 'Warn' || action === 'Audit')) return 'observe'
  return refuse(
    spec.remarks,
    [...spec.path, 'validationActions'],
    'found an action that nobody knows',
    'write Deny, Warn or Audit',
  )
}
