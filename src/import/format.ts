import { isRecord } from '../policy/problem.ts'
import { documentsFromClusterImagePolicy } from '../policy/cluster-image-policy/cluster-image-policy.ts'
import { newRemarks, quoted, refuse } from '../policy/cluster-image-policy/remarks.ts'
import { importContainersPolicy } from './containers-policy.ts'
import { imported, type Import, type ImportOptions } from './imported.ts'
import { importClusterPolicy } from './kyverno/cluster-policy.ts'
import { importImageValidatingPolicy } from './kyverno/image-validating-policy.ts'
import { importTrustRoot } from './trust-root.ts'

/** What can be asked for by name; `auto` tells each document by its apiVersion and kind. */
export const FORMATS = ['auto', 'cluster-image-policy', 'kyverno', 'containers-policy'] as const
export type Format = (typeof FORMATS)[number]

type Reader = {
  readonly format: Exclude<Format, 'auto'>
  readonly apiVersions: RegExp
  readonly kinds: readonly string[]
  read(value: unknown, options: ImportOptions): Import
}

const READERS: readonly Reader[] = [
  {
    format: 'cluster-image-policy',
    apiVersions: /^policy\.sigstore\.dev\//,
    kinds: ['ClusterImagePolicy'],
    read: (value, options) => ({
      configuration: [],
      files: [],
      ...renamed(documentsFromClusterImagePolicy(value, options)),
    }),
  },
  {
    format: 'cluster-image-policy',
    apiVersions: /^policy\.sigstore\.dev\//,
    kinds: ['TrustRoot'],
    read: importTrustRoot,
  },
  {
    format: 'kyverno',
    apiVersions: /^kyverno\.io\/(?:v1|v2beta1|v2)$/,
    kinds: ['ClusterPolicy', 'Policy'],
    read: importClusterPolicy,
  },
  {
    format: 'kyverno',
    apiVersions: /^policies\.kyverno\.io\/(?:v1|v1beta1|v1alpha1)$/,
    kinds: ['ImageValidatingPolicy', 'NamespacedImageValidatingPolicy'],
    read: importImageValidatingPolicy,
  },
]

function renamed({
  documents,
  ...remarks
}: ReturnType<typeof documentsFromClusterImagePolicy>): Pick<Import, 'policies' | 'refusals' | 'notes'> {
  return { policies: documents, ...remarks }
}

/** Converts one document by what it says that it is. */
export function importDocument(value: unknown, format: Format, options: ImportOptions): Import {
  const isPolicyJson = isRecord(value) && value['apiVersion'] === undefined && Array.isArray(value['default'])
  if (format === 'containers-policy' || (format === 'auto' && isPolicyJson)) {
    return importContainersPolicy(value, options)
  }
  const { apiVersion, kind } = isRecord(value) ? value : {}
  const reader = READERS.find(
    (one) =>
      (format === 'auto' || one.format === format) &&
      one.kinds.some((known) => known === kind) &&
      typeof apiVersion === 'string' &&
      one.apiVersions.test(apiVersion),
  )
  return reader === undefined ? unknown(kind, apiVersion) : reader.read(value, options)
}

function unknown(kind: unknown, apiVersion: unknown): Import {
  const remarks = newRemarks()
  const what = typeof kind === 'string' ? `${quoted(kind)} of ${quoted(String(apiVersion))}` : 'no kind'
  const known = READERS.flatMap(({ kinds }) => kinds).join(', ')
  refuse(remarks, [], `found ${what}, which is not imported`, `${known} and policy.json of containers are`)
  return imported(remarks, {})
}
