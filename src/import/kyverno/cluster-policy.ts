import { policyName } from '../../policy/cluster-image-policy/cluster-image-policy.ts'
import { plainName } from '../../policy/cluster-image-policy/name.ts'
import {
  listOf,
  newRemarks,
  note,
  readSection,
  refuse,
  sectionOf,
  sectionsOf,
  textOf,
  type FieldRules,
  type Section,
} from '../../policy/cluster-image-policy/remarks.ts'
import { isRecord } from '../../policy/problem.ts'
import { imported, type Import, type ImportOptions } from '../imported.ts'
import { convertVerifyImages, VERIFY_IMAGES } from './verify-images.ts'

/** Kyverno's ClusterPolicy: each entry of `verifyImages` is a policy; all that match an image must be satisfied, there and here. */

const WEBHOOK = {
  note: 'how and when the webhook is called is dropped; what an outage does is said by stance here',
} as const
const DOCUMENT: FieldRules = {
  apiVersion: 'converted',
  kind: 'converted',
  metadata: 'converted',
  spec: 'converted',
  status: { note: 'what the API server keeps about an object is dropped' },
}
const SPEC: FieldRules = {
  rules: 'converted',
  validationFailureAction: 'converted',
  validationFailureActionOverrides: {
    refuse: [
      'found another action for some namespaces, which a proxy does not know',
      'write one action; clients are told apart by rings',
    ],
  },
  applyRules: 'converted',
  admission: WEBHOOK,
  background: WEBHOOK,
  emitWarning: WEBHOOK,
  failurePolicy: WEBHOOK,
  generateExisting: WEBHOOK,
  mutateExistingOnPolicyUpdate: WEBHOOK,
  schemaValidation: WEBHOOK,
  useServerSideApply: WEBHOOK,
  webhookConfiguration: WEBHOOK,
  webhookTimeoutSeconds: WEBHOOK,
}

const CLUSTER: readonly [string, string] = [
  'found a condition on Kubernetes resources; a proxy sees images only',
  'drop it if the rule is to hold for every pull, or keep the rule in the cluster; clients are told apart by rings',
]
const RULE: FieldRules = {
  name: 'converted',
  match: 'converted',
  verifyImages: 'converted',
  exclude: { refuse: CLUSTER },
  preconditions: { refuse: CLUSTER },
  celPreconditions: { refuse: CLUSTER },
  context: { note: 'context is dropped: what is written with its variables is refused' },
  imageExtractors: { note: 'imageExtractors is dropped: a proxy sees every image that is pulled' },
  skipBackgroundRequests: WEBHOOK,
  reportProperties: WEBHOOK,
}
const OTHER_RULES = ['validate', 'mutate', 'generate']

export function importClusterPolicy(value: unknown, options: ImportOptions): Import {
  const remarks = newRemarks()
  const document = readSection(value, [], DOCUMENT, remarks)
  const name = document === undefined ? undefined : policyName(document)
  const spec = document === undefined ? undefined : sectionOf(document, 'spec', SPEC)
  if (document?.fields.get('kind') === 'Policy') {
    const reason = 'found a Policy, which holds in one namespace; a proxy knows none'
    refuse(
      remarks,
      ['kind'],
      reason,
      'write ClusterPolicy if it is to hold for every pull; clients are told apart by rings',
    )
  }
  if (spec === undefined || name === undefined) return imported(remarks, {})
  if (textOf(spec, 'applyRules') === 'One') {
    refuse(
      remarks,
      ['spec', 'applyRules'],
      'found One, so that later rules count only sometimes',
      'write a policy for each rule',
    )
  }
  const failureAction = textOf(spec, 'validationFailureAction')
  const policies = rulesOf(spec).flatMap((rule) => {
    const entries = sectionsOf(rule, 'verifyImages', VERIFY_IMAGES)
    return entries.flatMap((entry, index) => {
      const parts = [name, textOf(rule, 'name') ?? 'rule', ...(entries.length > 1 ? [String(index + 1)] : [])]
      return convertVerifyImages(entry, { name: plainName(parts.join('-')), failureAction, options }) ?? []
    })
  })
  if (policies.length === 0 && remarks.refusals.length === 0) {
    refuse(remarks, ['spec', 'rules'], 'found no rule with verifyImages', 'keep the policy in the cluster')
  }
  return imported(remarks, { policies })
}

/** Those that verify images. */
function rulesOf(spec: Section): readonly Section[] {
  return listOf(spec, 'rules').flatMap((value, index) => {
    const at = [...spec.path, 'rules', index]
    const other = isRecord(value)
      ? OTHER_RULES.find((kind) => value[kind] !== undefined && value[kind] !== null)
      : undefined
    if (other !== undefined) {
      note(spec.remarks, at, `rules with ${other} are no verification of images: they stay in the cluster`)
      return []
    }
    const rule = readSection(value, at, RULE, spec.remarks)
    if (rule === undefined) return []
    checkMatch(rule)
    return [rule]
  })
}

/** Every policy says which kinds of resource it looks at, and that is all that may be said here. */
function checkMatch(rule: Section): void {
  const match = rule.fields.get('match')
  const blocks = isRecord(match) ? Object.entries(match) : []
  const isPlain = blocks.every(([mode, list]) => {
    if (mode === 'resources') return isOnlyKinds(list)
    return (
      (mode === 'any' || mode === 'all') &&
      Array.isArray(list) &&
      list.every((one) => isRecord(one) && isOnlyKinds(one['resources']) && Object.keys(one).length === 1)
    )
  })
  if (!isPlain || blocks.length === 0) return refuse(rule.remarks, [...rule.path, 'match'], ...CLUSTER)
  note(
    rule.remarks,
    [...rule.path, 'match'],
    'match is dropped: the rule holds for every pull, whatever the resource',
  )
}

function isOnlyKinds(resources: unknown): boolean {
  return isRecord(resources) && Object.keys(resources).every((key) => key === 'kinds' || key === 'operations')
}
