import { plainName } from '../policy/cluster-image-policy/name.ts'
import {
  listOf,
  newRemarks,
  note,
  quoted,
  readSection,
  refuse,
  type FieldRules,
  type Remarks,
  type Section,
} from '../policy/cluster-image-policy/remarks.ts'
import type { ImagePolicyInput } from '../policy/cluster-image-policy/cluster-image-policy.ts'
import { isRecord, type Path } from '../policy/problem.ts'
import { looksLikeRegistry, parseRegistry } from '../oci/reference.ts'
import { readSignedBy } from './containers-signer.ts'
import { imported, type Import, type ImportOptions } from './imported.ts'

/**
 * containers-policy.json(5): of the scopes that match an image only the most specific counts. Our policies must all be
 * satisfied, so a scope within another one is converted only where the outer one asks for nothing.
 */

const DOCUMENT: FieldRules = { default: 'converted', transports: 'converted' }

/** What the requirements of one scope come to: all of them must be met. */
type Demand =
  | { readonly kind: 'accept' }
  | { readonly kind: 'reject' }
  | {
      readonly kind: 'signed'
      readonly authorities: readonly Readonly<Record<string, unknown>>[]
      readonly require: unknown
    }

type Scope = { readonly scope: string; readonly path: Path; readonly demand: Demand }

const REJECTED = 'rejected by policy.json'

export function importContainersPolicy(value: unknown, options: ImportOptions): Import {
  const remarks = newRemarks()
  const document = readSection(value, [], DOCUMENT, remarks)
  if (document === undefined) return imported(remarks, {})
  const scopes = dockerScopes(document, options)
  const everything = scopes.find(({ scope }) => scope === '')
  const fallback =
    everything?.demand ?? readDemand(listOf(document, 'default'), ['default'], options, remarks)
  if (!document.fields.has('default'))
    refuse(remarks, ['default'], 'found none', 'write [{"type": "reject"}]')
  const named = scopes.filter(({ scope }) => scope !== '')
  refuseNested(named, remarks)
  if (fallback?.kind === 'signed' && named.length > 0) {
    const reason =
      'found a default that asks for a signature beside scopes that count in its place; here both would have to hold'
    refuse(
      remarks,
      everything?.path ?? ['default'],
      reason,
      'write the default as reject, and its demand for the scopes that it is meant for',
    )
  }
  const policies = named.map(policyOf)
  const rest = fallback === undefined ? { policies: [], configuration: [] } : everythingElse(fallback)
  return imported(remarks, { policies: [...policies, ...rest.policies], configuration: rest.configuration })
}

/** Every image that no scope is for. */
function everythingElse(demand: Demand): Pick<Import, 'policies' | 'configuration'> {
  if (demand.kind === 'reject')
    return { policies: [], configuration: [{ policies: { unmatched: 'enforce' } }] }
  return { policies: [policyOf({ scope: '', path: [], demand })], configuration: [] }
}

function dockerScopes(document: Section, options: ImportOptions): readonly Scope[] {
  const { remarks } = document
  const transports = document.fields.get('transports')
  if (transports === undefined) return []
  if (!isRecord(transports)) return refuse(remarks, ['transports'], 'found no mapping') ?? []
  for (const name of Object.keys(transports)) {
    if (name === 'docker') continue
    note(
      remarks,
      ['transports', name],
      `transport ${plainName(name)} is dropped: its images come from no registry`,
    )
  }
  const docker = transports['docker'] ?? {}
  if (!isRecord(docker)) return refuse(remarks, ['transports', 'docker'], 'found no mapping') ?? []
  return Object.entries(docker).flatMap(([scope, requirements]) => {
    const path = ['transports', 'docker', scope]
    const fault = faultOfScope(scope)
    if (fault !== undefined) return refuse(remarks, path, ...fault) ?? []
    if (!Array.isArray(requirements)) return refuse(remarks, path, 'found no list of requirements') ?? []
    const demand = readDemand(requirements, path, options, remarks)
    return demand === undefined ? [] : [{ scope, path, demand }]
  })
}

function faultOfScope(scope: string): readonly [string, string] | undefined {
  const [host = '', ...path] = scope.split('/')
  if (scope === '') return undefined
  if (path.some((part) => /[:@]/.test(part))) {
    return [
      `found the scope ${quoted(scope)}, for one tag or digest; here policies are for repositories`,
      'write the repository',
    ]
  }
  const isDomain = path.length === 0 && host.startsWith('*.')
  const registry = isDomain ? host.slice(2) : host
  const canonical = looksLikeRegistry(registry) ? parseRegistry(registry) : undefined
  if (canonical === undefined) {
    return [`found the scope ${quoted(scope)}, which names no registry`, 'write the registry first']
  }
  if (canonical !== registry) {
    return [
      `found the scope ${quoted(scope)}, which no image is in: there the registry is called ${canonical}`,
      `write ${canonical}, if that is meant, or drop it`,
    ]
  }
  if (/^[a-z0-9._/-]*$/.test(path.join('/'))) return undefined
  return [`found the scope ${quoted(scope)}, which names no repository`, 'write a path of lower case letters']
}

/** An outer scope that accepts anything is no obstacle: beside another policy it asks for nothing. */
function refuseNested(scopes: readonly Scope[], remarks: Remarks): void {
  for (const outer of scopes) {
    const inner = scopes.find((one) => one !== outer && isWithin(one.scope, outer.scope))
    if (inner === undefined || outer.demand.kind === 'accept') continue
    const reason = `found the scope ${quoted(outer.scope)} with ${quoted(inner.scope)} inside, where only the inner one counts; here both would have to hold`
    refuse(remarks, outer.path, reason, 'write the outer one for the namespaces that the inner one is not in')
  }
}

function isWithin(inner: string, outer: string): boolean {
  if (!outer.startsWith('*.')) return inner.startsWith(`${outer}/`)
  const [host = ''] = inner.replace(/^\*\./, '').split('/')
  return host.replace(/:[0-9]+$/, '').endsWith(outer.slice(1))
}

function readDemand(
  requirements: readonly unknown[],
  path: Path,
  options: ImportOptions,
  remarks: Remarks,
): Demand | undefined {
  if (requirements.length === 0)
    return refuse(remarks, path, 'found no requirement', 'write [{"type": "reject"}]')
  const signed: ReturnType<typeof readSignedBy>[] = []
  let isRejected = false
  for (const [index, value] of requirements.entries()) {
    const at = [...path, index]
    const type = isRecord(value) ? value['type'] : undefined
    if (type === 'insecureAcceptAnything' || type === 'reject') {
      readSection(value, at, { type: 'converted' }, remarks)
      isRejected ||= type === 'reject'
    } else if (type === 'sigstoreSigned') {
      signed.push(readSignedBy(value, at, options, remarks))
    } else if (type === 'signedBy') {
      refuse(
        remarks,
        [...at, 'type'],
        'found signedBy, a GPG signature, which is not verified here',
        'sign with cosign and write sigstoreSigned',
      )
    } else
      refuse(
        remarks,
        [...at, 'type'],
        'found a requirement that nobody knows',
        'write reject, insecureAcceptAnything or sigstoreSigned',
      )
  }
  const keys = signed.flatMap((one) => (one === undefined ? [] : [one]))
  if (isRejected) return { kind: 'reject' }
  return keys.length === 0 ? { kind: 'accept' } : demandOf(keys)
}

/** One requirement: any of its keys. Several: all of them. */
function demandOf(requirements: readonly (readonly Readonly<Record<string, unknown>>[])[]): Demand {
  const groups = requirements.map((keys, group) =>
    keys.map((key, index) => ({
      name: `key-${[...(requirements.length > 1 ? [group + 1] : []), index + 1].join('-')}`,
      key,
    })),
  )
  const any = groups.map((group) => ({ any: group.map(({ name }) => name) }))
  return { kind: 'signed', authorities: groups.flat(), require: any.length > 1 ? { all: any } : undefined }
}

function policyOf({ scope, demand }: Scope): ImagePolicyInput {
  const authorities =
    demand.kind === 'signed'
      ? demand.authorities
      : demand.kind === 'accept'
        ? [{ name: 'anything', static: { action: 'pass' } }]
        : [{ name: 'nothing', static: { action: 'fail', message: REJECTED } }]
  const require = demand.kind === 'signed' && demand.require !== undefined ? { require: demand.require } : {}
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: plainName(scope === '' ? 'default' : scope.replace('*.', 'any.')) },
    spec: { mode: 'enforce', images: globsOf(scope).map((glob) => ({ glob })), authorities, ...require },
  }
}

/** A scope is a repository and a namespace at once: itself and all below. */
function globsOf(scope: string): readonly string[] {
  const [host = '', ...path] = scope.split('/')
  if (scope === '') return ['**']
  // Of a domain a port makes no difference (containers/image docker/policyconfiguration).
  if (path.length === 0) return scope.startsWith('*.') ? [`${scope}/**`, `${scope}:*/**`] : [`${scope}/**`]
  // An official image of Docker Hub is called library/NAME there, so that a single name is a namespace only.
  return parseRegistry(host) === 'docker.io' && path.length === 1 ? [`${scope}/**`] : [scope, `${scope}/**`]
}
