import { bundleToJSON, type Bundle } from '@sigstore/bundle'
import { toPem } from './certificate.ts'
import { envelopeJson } from './log-body.ts'

export type CosignLayer = {
  readonly mediaType: string
  readonly bytes: Buffer
  readonly annotations: Readonly<Record<string, string>>
}

/**
 * A bundle in the form that cosign 1 and 2 attach: a layer of `sha256-<hex>.sig` (message signature over `payload`) or
 * of `.att` (envelope; `payload` is not looked at, a timestamp over the signature is left out: see `stampedLayer`).
 * Rekor v2 has no such form: without a promise there is no entry.
 */
export function cosignLayer(bundle: Bundle, payload: Buffer): CosignLayer {
  const { content, verificationMaterial } = bundle
  const annotations = logAnnotation(bundle)
  if (verificationMaterial.content.$case === 'certificate') {
    annotations['dev.sigstore.cosign/certificate'] = toPem(verificationMaterial.content.certificate.rawBytes)
  }
  if (content.$case === 'messageSignature') {
    const signature = content.messageSignature.signature.toString('base64')
    const layer = {
      mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
      bytes: payload,
      annotations: { ...annotations, 'dev.cosignproject.cosign/signature': signature },
    }
    const [token] = verificationMaterial.timestampVerificationData?.rfc3161Timestamps ?? []
    return token === undefined ? layer : stampedLayer(layer, token.signedTimestamp)
  }
  const statement: { predicateType?: string } = JSON.parse(content.dsseEnvelope.payload.toString())
  return {
    mediaType: 'application/vnd.dsse.envelope.v1+json',
    bytes: envelopeJson(content.dsseEnvelope),
    annotations: {
      ...annotations,
      'dev.cosignproject.cosign/signature': '',
      predicateType: statement.predicateType ?? '',
    },
  }
}

function logAnnotation(bundle: Bundle): Record<string, string> {
  const [entry] = bundle.verificationMaterial.tlogEntries
  if (entry?.inclusionPromise === undefined) return {}
  const value = {
    SignedEntryTimestamp: entry.inclusionPromise.signedEntryTimestamp.toString('base64'),
    Payload: {
      body: entry.canonicalizedBody.toString('base64'),
      integratedTime: Number(entry.integratedTime),
      logIndex: Number(entry.logIndex),
      logID: entry.logId.keyId.toString('hex'),
    },
  }
  return { 'dev.sigstore.cosign/bundle': JSON.stringify(value) }
}

/** The layer with an RFC 3161 response; for `.att` cosign stamps the whole layer and not the signature. */
export function stampedLayer(layer: CosignLayer, token: Uint8Array): CosignLayer {
  const value = JSON.stringify({ SignedRFC3161Timestamp: Buffer.from(token).toString('base64') })
  return { ...layer, annotations: { ...layer.annotations, 'dev.sigstore.cosign/rfc3161timestamp': value } }
}

/** The bundle as a registry or a file holds it. */
export function bundleJson(bundle: Bundle): Buffer {
  return Buffer.from(JSON.stringify(bundleToJSON(bundle)))
}
