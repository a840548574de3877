/**
 * What policy-controller documents of a ClusterImagePolicy, written down a second time and from its documentation alone:
 * globs of pkg/apis/glob, identities of cosign, all matching policies, any authority, `mode: warn`, the no-match policy. It
 * shares no code with the importer or with `decide`, so that the two can disagree.
 */

/** One piece of evidence that verified. */
export type Evidence = {
  /** undefined: an image signature. */
  readonly predicateType: string | undefined
  readonly signer:
    | {
        readonly kind: 'keyless'
        readonly trustRoot: string
        readonly issuer: string
        readonly subject: string
      }
    | { readonly kind: 'key'; readonly pem: string }
  /** Trust roots in whose log it is. */
  readonly logs: readonly string[]
}

export type Image = { readonly registry: string; readonly name: string; readonly digest: string }
export type NoMatch = 'allow' | 'warn' | 'deny'
type Answer = 'allow' | 'warn' | 'deny'

type Identity = {
  readonly issuer?: string
  readonly issuerRegExp?: string
  readonly subject?: string
  readonly subjectRegExp?: string
}

type ReferenceAuthority = {
  readonly static?: { readonly action: 'pass' | 'fail' }
  readonly key?: { readonly data: string }
  readonly keyless?: { readonly trustRootRef?: string; readonly identities: readonly Identity[] }
  readonly ctlog?: { readonly url?: string; readonly trustRootRef?: string }
  readonly attestations?: readonly { readonly predicateType: string }[]
}

export type ReferencePolicy = {
  readonly mode?: 'enforce' | 'warn'
  readonly images: readonly { readonly glob: string }[]
  readonly authorities: readonly ReferenceAuthority[]
}

/** The trust root that the controller was started with. */
const OWN_ROOT = 'public-good'

const SHORT_NAMES: Readonly<Record<string, string>> = {
  custom: 'https://cosign.sigstore.dev/attestation/v1',
  slsaprovenance: 'https://slsa.dev/provenance/v0.2',
  spdxjson: 'https://spdx.dev/Document',
  vuln: 'https://cosign.sigstore.dev/attestation/vuln/v1',
}

/** What the webhook answers for an image. */
export function evaluate(
  policies: readonly ReferencePolicy[],
  image: Image,
  evidence: readonly Evidence[],
  noMatch: NoMatch,
): Answer {
  const matching = policies.filter(({ images }) => images.some(({ glob }) => globMatches(glob, image)))
  if (matching.length === 0) return noMatch
  const failed = matching.filter(({ authorities }) => !authorities.some((one) => isSatisfied(one, evidence)))
  if (failed.some(({ mode }) => mode !== 'warn')) return 'deny'
  return failed.length > 0 ? 'warn' : 'allow'
}

/** The compared string is ggcr's `ref.Name()` of a digest reference: Docker Hub is index.docker.io, and there is no tag. */
export function globMatches(glob: string, { registry, name, digest }: Image): boolean {
  const host = registry === 'docker.io' ? 'index.docker.io' : registry
  const whole = glob === '*' ? 'index.docker.io/library/*' : glob === '*/*' ? 'index.docker.io/*/*' : glob
  const pattern = whole
    .replaceAll('.', String.raw`\.`)
    .replaceAll('**', '#')
    .replaceAll('*', '[^/]*')
    .replaceAll('#', '.*')
  return new RegExp(`^${pattern}$`).test(`${host}/${name}@${digest}`)
}

function isSatisfied(authority: ReferenceAuthority, evidence: readonly Evidence[]): boolean {
  if (authority.static !== undefined) return authority.static.action === 'pass'
  const own = evidence.filter((one) => isBy(authority, one) && isLogged(authority, one))
  const wanted = authority.attestations ?? []
  if (wanted.length === 0) return own.some(({ predicateType }) => predicateType === undefined)
  return wanted.every((want) => {
    const type = SHORT_NAMES[want.predicateType] ?? want.predicateType
    return own.some(({ predicateType }) => predicateType === type)
  })
}

function isBy({ key, keyless }: ReferenceAuthority, { signer }: Evidence): boolean {
  if (signer.kind === 'key') return key !== undefined && key.data.trim() === signer.pem.trim()
  if (keyless === undefined || signer.trustRoot !== (keyless.trustRootRef ?? OWN_ROOT)) return false
  return keyless.identities.some(
    (identity) =>
      isSame(signer.issuer, identity.issuer, identity.issuerRegExp) &&
      isSame(signer.subject, identity.subject, identity.subjectRegExp),
  )
}

/** cosign: a plain text is compared, a regular expression is searched for. */
function isSame(text: string, exact: string | undefined, search: string | undefined): boolean {
  return exact === undefined ? new RegExp(search ?? '(?!)').test(text) : text === exact
}

/** Where a key says nothing of a log none is asked. A keyless signature is only looked at when its log entry holds. */
function isLogged({ key, ctlog }: ReferenceAuthority, { logs }: Evidence): boolean {
  if (key === undefined) return logs.length > 0
  if (ctlog?.trustRootRef !== undefined) return logs.includes(ctlog.trustRootRef)
  return ctlog?.url === undefined || logs.includes(OWN_ROOT)
}
