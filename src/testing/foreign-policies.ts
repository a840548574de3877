import { generateKeyPairSync } from 'node:crypto'
import { parse } from 'yaml'
import { importDocument } from '../import/format.ts'
import type { Difference } from '../import/imported.ts'
import { refusalText } from '../policy/cluster-image-policy/remarks.ts'
import { pathText } from '../policy/problem.ts'

/** Policies of other systems, and what the import makes of them, as tests compare it. */

export function newPem(namedCurve = 'P-256'): string {
  return generateKeyPairSync('ec', { namedCurve })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()
}

export function clusterImagePolicy(spec: string, apiVersion = 'policy.sigstore.dev/v1beta1'): unknown {
  return parse(
    `{apiVersion: ${apiVersion}, kind: ClusterImagePolicy, metadata: {name: signed}, spec: ${spec}}`,
  )
}

/** Of every image, with one authority. */
export function withAuthority(authority: string): unknown {
  return clusterImagePolicy(`{images: [{glob: "**"}], authorities: [${authority}]}`)
}

export type Converting = {
  readonly accept?: readonly Difference[]
  readonly trustRoot?: string
  readonly keyFiles?: Readonly<Record<string, string>>
}

export type Converted = {
  readonly names: readonly string[]
  readonly specs: readonly Readonly<Record<string, unknown>>[]
  readonly configuration: readonly unknown[]
  /** `path: reason; instead` */
  readonly refusals: readonly string[]
  readonly notes: readonly string[]
}

export function convert(
  value: unknown,
  { accept = [], trustRoot, keyFiles = {} }: Converting = {},
): Converted {
  const readKeyFile = (path: string): string | undefined => keyFiles[path]
  const result = importDocument(value, 'auto', { trustRoot, accept: new Set(accept), readKeyFile })
  return {
    names: result.policies.map(({ metadata }) => metadata.name),
    specs: result.policies.map(({ spec }) => spec),
    configuration: result.configuration,
    refusals: result.refusals.map((refusal) => `${pathText(refusal.path)}: ${refusalText(refusal)}`),
    notes: result.notes.map(({ message }) => message),
  }
}
