import { generateKeyPairSync } from 'node:crypto'
import type { Policy } from '../policy/types.ts'
import type { Candidate, PublicKey, TrustRoot } from '../verify/types.ts'
import { cosignLayer, type CosignLayer } from './cosign-layer.ts'
import { attestationOf, held, identityOf, keyAuthority, keylessAuthority, policyOf } from './policies.ts'
import { managedSigner, type MintOptions, type Signer, type Sigstore } from './sigstore.ts'
import { simpleSigningPayload } from './statements.ts'
import { IDENTITY, layerCandidate, publicKeyOf, STATEMENT, SUBJECT, trustRootOf } from './verification.ts'

/** Signatures that are in the log and do not say so: what `cosign` leaves where it was told to attach no bundle. */
export type UnloggedFixture = {
  readonly root: TrustRoot
  readonly key: PublicKey
  /** By who signed and what: each a layer without its log entry. */
  readonly candidates: Readonly<Record<UnloggedKind, Candidate>>
}

export const UNLOGGED_KINDS = [
  'key simple signing',
  'key attestation',
  'keyless simple signing',
  'keyless attestation',
] as const
export type UnloggedKind = (typeof UNLOGGED_KINDS)[number]

const LOG_ANNOTATION = 'dev.sigstore.cosign/bundle'

export function withoutEntry(layer: CosignLayer): CosignLayer {
  const { [LOG_ANNOTATION]: _, ...annotations } = layer.annotations
  return { ...layer, annotations }
}

export async function mintUnlogged(sigstore: Sigstore, options: MintOptions = {}): Promise<UnloggedFixture> {
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const payload = simpleSigningPayload('r.test/app', SUBJECT)
  const signature = async (signer: Signer) =>
    layerCandidate(withoutEntry(cosignLayer(await sigstore.message(payload, signer, options), payload)))
  const attestation = async (signer: Signer) =>
    layerCandidate(withoutEntry(cosignLayer(await sigstore.dsse(STATEMENT, signer, options), payload)))
  const byKey = managedSigner(pair)
  const byIdentity = sigstore.keyless(IDENTITY)
  return {
    root: trustRootOf(sigstore.trustedRoot()),
    key: publicKeyOf(pair.publicKey),
    candidates: {
      'key simple signing': await signature(byKey),
      'key attestation': await attestation(byKey),
      'keyless simple signing': await signature(byIdentity),
      'keyless attestation': await attestation(byIdentity),
    },
  }
}

/** A policy in mode enforce that wants what this kind of candidate is, logged. */
export function policyFor(kind: UnloggedKind, { key, root }: UnloggedFixture): Policy {
  const attestations = kind.endsWith('attestation')
    ? [attestationOf('provenance', STATEMENT.predicateType)]
    : []
  const trustRoot = root.name
  const authority = kind.startsWith('keyless')
    ? keylessAuthority('release', [identityOf(IDENTITY.issuer, IDENTITY.subject)], {
        trustRoot,
        attestations,
      })
    : keyAuthority('release', [held(key)], {
        signer: { transparencyLog: 'required', trustRoot },
        attestations,
      })
  return policyOf([authority], { name: kind })
}
