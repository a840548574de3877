import type { TransparencyLogEntry } from '@sigstore/bundle'
import type { DigestAlgorithm } from '../oci/digest.ts'

/** What was signed, in the three ways in which images are signed. */
export type SignedContent =
  /** A signature over the subject itself, which the bundle names by digest. */
  | {
      readonly kind: 'artifact'
      readonly signature: Buffer
      readonly digest: Buffer
      readonly algorithm: DigestAlgorithm
    }
  /** A signature over a simple signing payload, which names the image. */
  | { readonly kind: 'payload'; readonly signature: Buffer; readonly payload: Buffer }
  /** A DSSE envelope around an in-toto statement. */
  | {
      readonly kind: 'envelope'
      readonly signature: Buffer
      readonly payloadType: string
      readonly payload: Buffer
      /** The envelope's own bytes, where it came as a layer: what `intoto/0.0.1` entries and timestamps cover. */
      readonly layer: Buffer | undefined
    }

/** One candidate, read into one shape whatever its form; limits hold, nothing is verified. */
export type Evidence = {
  readonly content: SignedContent
  /** DER of the certificates, leaf first, or undefined where a managed key signed. */
  readonly certificates: readonly Buffer[] | undefined
  /** cosign's chain annotation as it came, PEM: only a root of one's own PKI reads it. */
  readonly chainPem?: string | undefined
  /** A certificate chain in a bundle v0.3, which has no place for one: cosign 3 writes it for a certificate of a PKI. */
  readonly hasStrayChain?: boolean
  readonly entries: readonly TransparencyLogEntry[]
  /** RFC 3161 responses. */
  readonly timestamps: readonly Buffer[]
}
