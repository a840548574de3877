import type { Descriptor } from '../oci/manifest-types.ts'
import { CHAIN_PEM_LENGTH_MAX } from '../verify/limits.ts'
import type { Candidate } from '../verify/types.ts'

/** cosign's payload of about 250 bytes (cosign specs/SIGNATURE_SPEC.md); all proof is in the annotations. */
const SIMPLE_SIGNING_BYTES_MAX = 1024 * 1024
/** An SBOM of a large image as an attestation has some megabytes. */
const DSSE_BYTES_MAX = 16 * 1024 * 1024
const BUNDLE_BYTES_MAX = 8 * 1024 * 1024

const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
const DSSE = 'application/vnd.dsse.envelope.v1+json'

/** Every version: the verifier says which ones it does not know, and then a person sees why. */
const BUNDLE =
  /^application\/vnd\.dev\.sigstore\.bundle(?:\.v\d+(?:\.\d+)*\+json|\+json;\s?version=\d+(?:\.\d+)*)$/

/** artifactType of manifests that may hold evidence, beside the bundles. */
const EVIDENCE_ARTIFACT_TYPES: ReadonlySet<string> = new Set([
  DSSE,
  'application/vnd.dev.cosign.artifact.sig.v1+json',
  'application/vnd.in-toto+json',
  // A registry fills a missing artifactType with the type of the config, and this one says nothing.
  'application/vnd.oci.image.config.v1+json',
])

const CHAIN = 'dev.sigstore.cosign/chain'

/** The annotations by which cosign proves something: its specs/SIGNATURE_SPEC.md, "Properties". */
const PROOF_ANNOTATIONS = [
  'dev.cosignproject.cosign/signature',
  'dev.sigstore.cosign/certificate',
  CHAIN,
  'dev.sigstore.cosign/bundle',
  'dev.sigstore.cosign/rfc3161timestamp',
]

/** Only what the verifier may read: the rest is as much as its author likes, and would be kept with the evidence. */
export function proofAnnotations({ annotations }: Descriptor): Readonly<Record<string, string>> {
  // Sigstore's own certificates need no chain, and must not be lost for one that is too long to be read.
  const isRead = (name: string): boolean =>
    Object.hasOwn(annotations, name) &&
    (name !== CHAIN || (annotations[name] ?? '').length <= CHAIN_PEM_LENGTH_MAX)
  const proofs = PROOF_ANNOTATIONS.filter(isRead)
  return Object.fromEntries(proofs.map((name) => [name, annotations[name] ?? '']))
}

export type EvidenceLayer = { readonly form: Candidate['form']; readonly bytesMax: number }

/** What a layer is to the verifier, or undefined where it proves nothing: an SBOM, an unsigned statement. */
export function evidenceLayer(mediaType: string): EvidenceLayer | undefined {
  if (mediaType === SIMPLE_SIGNING) return { form: 'simple-signing', bytesMax: SIMPLE_SIGNING_BYTES_MAX }
  if (mediaType === DSSE) return { form: 'dsse', bytesMax: DSSE_BYTES_MAX }
  return BUNDLE.test(mediaType) ? { form: 'bundle', bytesMax: BUNDLE_BYTES_MAX } : undefined
}

/** Whether a referrer is worth fetching. One without a type may be anything. */
export function mayBeEvidence(artifactType: string | undefined): boolean {
  return artifactType === undefined || EVIDENCE_ARTIFACT_TYPES.has(artifactType) || BUNDLE.test(artifactType)
}
