import { celOfCue } from './cue.ts'
import type { Derived } from './cel-text.ts'
import { convertName } from './name.ts'
import {
  note,
  quoted,
  refuse,
  sectionOf,
  sectionsOf,
  textOf,
  type FieldRules,
  type Section,
} from './remarks.ts'
import { celOfRego } from './rego.ts'

/** One of `attestations`, as an ImagePolicy document says it. */
export type AttestationInput = { readonly name: string; readonly predicateType: string }

/** What cosign 3.0 makes of a short name (cmd/cosign/cli/options/predicate.go). */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['custom', 'https://cosign.sigstore.dev/attestation/v1'],
  ['cyclonedx', 'https://cyclonedx.org/bom'],
  ['link', 'https://in-toto.io/Link/v1'],
  ['openvex', 'https://openvex.dev/ns'],
  ['slsaprovenance', 'https://slsa.dev/provenance/v0.2'],
  ['slsaprovenance02', 'https://slsa.dev/provenance/v0.2'],
  ['slsaprovenance1', 'https://slsa.dev/provenance/v1'],
  ['spdx', 'https://spdx.dev/Document'],
  ['spdxjson', 'https://spdx.dev/Document'],
  ['vuln', 'https://cosign.sigstore.dev/attestation/vuln/v1'],
])

const FIELDS: FieldRules = { name: 'converted', predicateType: 'converted', policy: 'converted' }

const CLUSTER: readonly [string, string] = [
  'found a policy over the resource or the image’s configuration, which a proxy does not see',
  'keep that check in the cluster',
]
/** Of one attestation. The last four are only allowed in the policy of the whole document. */
export const POLICY: FieldRules = {
  type: 'converted',
  data: 'converted',
  configMapRef: {
    refuse: ['found a policy in a ConfigMap, which cannot be read here', 'write it as CEL under expressions'],
  },
  remote: {
    refuse: ['found a policy at a URL, which is not fetched', 'write it as CEL under expressions'],
  },
  fetchConfigFile: { refuse: CLUSTER },
  includeSpec: { refuse: CLUSTER },
  includeObjectMeta: { refuse: CLUSTER },
  includeTypeMeta: { refuse: CLUSTER },
}

/** In what is refused nothing is left out that could be told of it. */
export function convertAttestations(authority: Section): readonly AttestationInput[] {
  const taken = new Set<string>()
  return sectionsOf(authority, 'attestations', FIELDS).flatMap((section) => {
    const written = textOf(section, 'name')
    if (written === undefined) refuse(section.remarks, section.path, 'found no name', 'write one')
    const predicateType = typeOf(section)
    if (predicateType === undefined) return []
    refuseDemands(section, predicateType)
    return [{ name: convertName(section, written ?? '', taken), predicateType }]
  })
}

function typeOf(section: Section): string | undefined {
  const { path, remarks } = section
  const at = [...path, 'predicateType']
  const written = textOf(section, 'predicateType')
  if (written === undefined)
    return refuse(remarks, at, 'found none', 'write the type of the predicate, a URI')
  const short = SHORT_NAMES.get(written)
  if (short !== undefined) note(remarks, at, `predicateType ${written} is ${short}`)
  if (short === undefined && !URL.canParse(written)) {
    return refuse(
      remarks,
      at,
      `found ${quoted(written)}, which is no URI`,
      'write the predicate type as attestations have it, a URI',
    )
  }
  return short ?? written
}

function refuseDemands(section: Section, predicateType: string): void {
  const policy = sectionOf(section, 'policy', POLICY)
  const type = policy === undefined ? undefined : textOf(policy, 'type')
  const data = policy === undefined ? undefined : textOf(policy, 'data')
  if (policy === undefined) return
  const { path, remarks } = policy
  if (type !== 'cue' && type !== 'rego') {
    return refuse(
      remarks,
      [...path, 'type'],
      `found ${quoted(type ?? 'nothing')}`,
      'cue and rego are the types that there are',
    )
  }
  if (data === undefined) return refuseEmpty(policy)
  const derived = type === 'cue' ? celOfCue(data, predicateType) : celOfRego(data, predicateType)
  if (derived.ok && derived.conditions.length === 0) {
    return note(
      remarks,
      [...path, 'data'],
      'the policy asks for nothing but the predicate type, which is asked for anyway',
    )
  }
  const language = type === 'cue' ? 'CUE' : 'Rego'
  refuse(
    remarks,
    [...path, 'data'],
    `found a policy in ${language}, which is not evaluated here`,
    insteadOf(derived, type),
  )
}

/** policy-controller admits no policy without a text; where the text is elsewhere, that is refused already. */
export function refuseEmpty({ path, remarks, fields }: Section): undefined {
  if (fields.has('data')) return undefined
  if (
    remarks.refusals.some(
      ({ path: at }) => at.length > path.length && path.every((part, index) => at[index] === part),
    )
  )
    return undefined
  return refuse(remarks, path, 'found a policy without a text', 'write data, or drop it')
}

function insteadOf(derived: Derived, type: 'cue' | 'rego'): string {
  if (!derived.ok) {
    return `write it as CEL under expressions of this attestation; it is not derived for you because ${derived.why}`
  }
  const expressions = derived.conditions.map((expression) => `{expression: ${JSON.stringify(expression)}}`)
  const difference =
    type === 'cue'
      ? '. They differ for a field that is missing: CUE lets it pass, an expression does not'
      : ''
  return `write under this attestation expressions: [${expressions.join(', ')}]${difference}`
}
