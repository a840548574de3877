import assert from 'node:assert/strict'
import { bundleToJSON, type Bundle } from '@sigstore/bundle'
import { pkiRootOf, readAuthorities } from '../verify/pki-root.ts'
import type { Candidate, CandidateResult, TrustRoot } from '../verify/types.ts'
import { verifyCandidate } from '../verify/verify.ts'
import { toPem } from './certificate.ts'
import { cosignLayer, type CosignLayer } from './cosign-layer.ts'
import { createPkiAuthority, pkiPem, type PkiAuthority, type PkiSigner } from './pki.ts'
import { createSigstore, type MintOptions, type Signer, type Sigstore } from './sigstore.ts'
import { bundleCandidate, STATEMENT, SUBJECT, trustRootOf } from './verification.ts'

const BUNDLE_V02 = 'application/vnd.dev.sigstore.bundle+json;version=0.2'
const PAYLOAD = Buffer.from(
  JSON.stringify({
    critical: {
      identity: { 'docker-reference': 'r.test/app' },
      image: { 'docker-manifest-digest': SUBJECT },
      type: 'cosign container image signature',
    },
    optional: null,
  }),
)

/** A PKI of a root and an intermediate, `CN=Root,O=Acme` and `CN=Issuing,O=Acme`, and a Sigstore that says when. */
export type Corporation = {
  readonly sigstore: Sigstore
  readonly times: TrustRoot
  readonly root: PkiAuthority
  readonly issuing: PkiAuthority
  /** The trust root `corp` of these authorities; fails the test where they are none. */
  pki(authorities: readonly Pick<PkiAuthority, 'certificate'>[], at?: TrustRoot): TrustRoot
  mint(signer: PkiSigner, options?: MintOptions): Promise<Bundle>
  /** A layer of `.sig` with these certificates in its chain annotation. */
  layer(signer: Signer, chain: readonly Buffer[], options?: MintOptions): Promise<CosignLayer>
}

export async function createCorporation(now?: () => Date): Promise<Corporation> {
  const sigstore = await createSigstore(now === undefined ? {} : { now })
  const times = trustRootOf(sigstore.trustedRoot(), 'times')
  const root = createPkiAuthority('Root')
  return {
    sigstore,
    times,
    root,
    issuing: createPkiAuthority('Issuing', { issuer: root }),
    pki: (authorities, at = times) => pkiRoot(authorities, at),
    mint: (signer, options = {}) => sigstore.dsse(STATEMENT, signer, options),
    async layer(signer, chain, options = {}) {
      const layer = cosignLayer(await sigstore.message(PAYLOAD, signer, options), PAYLOAD)
      const pem = chain.map((der) => toPem(der)).join('')
      return { ...layer, annotations: { ...layer.annotations, 'dev.sigstore.cosign/chain': pem } }
    },
  }
}

function pkiRoot(authorities: readonly Pick<PkiAuthority, 'certificate'>[], times: TrustRoot): TrustRoot {
  const read = readAuthorities(pkiPem(authorities))
  if ('problem' in read) assert.fail(read.problem)
  const made = pkiRootOf('corp', read, times)
  return 'problem' in made ? assert.fail(made.problem) : made
}

/** The same bundle with the certificates of others beside the signer's: as v0.2, or as cosign 3 writes it, v0.3. */
export function withChain(
  bundle: Bundle,
  signer: PkiSigner,
  others: readonly Buffer[],
  mediaType = BUNDLE_V02,
): Candidate {
  const json = bundleToJSON(bundle)
  const { tlogEntries, timestampVerificationData } = json.verificationMaterial
  const certificates = [signer.certificate, ...others].map((der) => ({ rawBytes: der.toString('base64') }))
  const verificationMaterial = {
    tlogEntries,
    timestampVerificationData,
    x509CertificateChain: { certificates },
  }
  return bundleCandidate(Buffer.from(JSON.stringify({ ...json, mediaType, verificationMaterial })))
}

export function verifyWith(candidate: Candidate, ...roots: readonly TrustRoot[]): CandidateResult {
  return verifyCandidate(candidate, { subject: SUBJECT, roots, keys: [] })
}
