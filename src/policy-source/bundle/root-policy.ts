import { repositoryName, type Repository } from '../../oci/reference.ts'
import { loadPolicies } from '../../policy/load.ts'
import type { IndexedPolicySet } from '../../policy/policy-index.ts'
import type { Problem } from '../../policy/problem.ts'

/** Whose signature on a bundle counts. Exactly one of `pem`, `kms` and `keyless`. */
export type BundleSigner = {
  readonly name: string
  readonly pem?: string | undefined
  readonly kms?: string | undefined
  readonly keyless?:
    | { readonly trustRoot: string; readonly issuer: string; readonly subject: string }
    | undefined
}

export type RootRules = {
  readonly repository: Repository
  readonly signers: readonly BundleSigner[]
  /** How many of them must have signed. */
  readonly threshold: number
  readonly trustRoots: ReadonlySet<string>
}

type RootPolicy =
  | { readonly ok: true; readonly set: IndexedPolicySet }
  | { readonly ok: false; readonly problems: readonly Problem[] }

const PLACE = 'policies.bundle'

/** The policy by which bundles are judged, as images are: it comes from the configuration, and from nowhere else. */
export function createRootPolicy({ repository, signers, threshold, trustRoots }: RootRules): RootPolicy {
  const document = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'policy-bundle' },
    spec: {
      mode: 'enforce',
      stance: 'closed',
      images: [{ glob: repositoryName(repository) }],
      authorities: signers.map(authorityOf),
    },
  }
  const load = loadPolicies({
    // JSON is YAML.
    files: [{ path: PLACE, text: JSON.stringify(document) }],
    trustRoots,
    keySets: new Set(),
    rings: new Set(),
    defaultMode: 'enforce',
    unmatched: 'enforce',
    defaultStance: 'closed',
    stanceLimit: 'closed',
  })
  if (!load.ok) return { ok: false, problems: load.problems.map(placed) }
  const requirement = { kind: 'threshold', count: threshold, of: signers.map(({ name }) => name) } as const
  const policies = load.set.policies.map((policy) => ({ ...policy, requirement }))
  return { ok: true, set: { ...load.set, policies } }
}

function authorityOf({ name, pem, kms, keyless }: BundleSigner): object {
  if (keyless !== undefined) {
    const { trustRoot, ...identity } = keyless
    return { name, keyless: { trustRoot, identities: [identity] } }
  }
  return { name, key: pem === undefined ? { kms } : { data: pem } }
}

/** Where the operator wrote it: in the configuration, on no line that is known here. */
function placed({ path, message }: Problem): Problem {
  return {
    file: PLACE,
    line: undefined,
    path: path.replace(/^spec\.authorities/, 'signers').replace(/\.key\.data$/, '.key'),
    message,
  }
}
