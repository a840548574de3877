import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { bundleToJSON, type Bundle, type SerializedBundle } from '@sigstore/bundle'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey, type SchemeOptions } from '../verify/public-key.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import type {
  Candidate,
  CandidateResult,
  EvidenceSource,
  FailureCode,
  PublicKey,
  TrustRoot,
  Verified,
} from '../verify/types.ts'
import { bundleJson, type CosignLayer } from './cosign-layer.ts'
import type { Signer } from './sigstore.ts'
import { slsaStatement } from './statements.ts'

/** The image that everything is about, where a test does not say otherwise. */
export const IMAGE = Buffer.from('the image')
export const SUBJECT = digestOf(IMAGE)
export const IDENTITY = {
  subject: 'https://github.com/o/r/.github/workflows/w.yml@refs/heads/main',
  issuer: 'https://token.actions.githubusercontent.com',
}
export const STATEMENT = slsaStatement({ name: 'r.test/app', sha256: SUBJECT.slice('sha256:'.length) })

/** A trust root from the JSON of a trusted_root.json; fails the test where it cannot be read. */
export function trustRootOf(json: object, name = 'test'): TrustRoot {
  const root = readTrustRoot(name, JSON.stringify(json))
  if ('problem' in root) assert.fail(root.problem)
  return root
}

/** A key as configuration reads it; fails the test where it cannot be used. */
export function publicKeyOf(publicKey: KeyObject, options?: SchemeOptions): PublicKey {
  const key = readPublicKey(publicKey.export({ format: 'pem', type: 'spki' }).toString(), options)
  if ('problem' in key) assert.fail(key.problem)
  return key
}

function sourceOf(bytes: Buffer, found: EvidenceSource['found']): EvidenceSource {
  return { found, manifest: digestOf(Buffer.from('the manifest that carries it')), blob: digestOf(bytes) }
}

/** A bundle as discovery hands it to the verifier. */
export function bundleCandidate(bundle: Bundle | Buffer): Candidate {
  const bytes = Buffer.isBuffer(bundle) ? bundle : bundleJson(bundle)
  return { form: 'bundle', source: sourceOf(bytes, 'referrer'), bytes }
}

/** A bundle that somebody changed on its way: `edit` works on a copy of its JSON. */
export function editedCandidate(bundle: Bundle, edit: (json: SerializedBundle) => void): Candidate {
  const json = structuredClone(bundleToJSON(bundle))
  edit(json)
  return bundleCandidate(Buffer.from(JSON.stringify(json)))
}

/** A layer of `.sig` or `.att` as discovery hands it to the verifier. */
export function layerCandidate({ mediaType, bytes, annotations }: CosignLayer): Candidate {
  return mediaType === 'application/vnd.dsse.envelope.v1+json'
    ? { form: 'dsse', source: sourceOf(bytes, 'attestation-tag'), bytes, annotations }
    : { form: 'simple-signing', source: sourceOf(bytes, 'signature-tag'), bytes, annotations }
}

/** A signer that signs the first time and from then on gives that signature: several bundles about one signature. */
export function signOnce(signer: Signer): Signer {
  let signed: ReturnType<Signer['sign']> | undefined
  return {
    sign: (data) => {
      signed ??= signer.sign(data)
      return signed
    },
  }
}

export function assertAccepted({ verified, failures }: CandidateResult): Verified {
  assert.deepEqual(failures, [])
  const [only, ...others] = verified
  if (only === undefined || others.length > 0) assert.fail(`expected one verified, got ${verified.length}`)
  return only
}

export function assertRefused(result: CandidateResult, code: FailureCode, message: RegExp): void {
  assert.deepEqual(result.verified, [])
  const [failure, ...others] = result.failures
  if (failure === undefined || others.length > 0)
    assert.fail(`expected one failure, got ${result.failures.length}`)
  assert.match(failure.message, message)
  assert.equal(failure.code, code)
}
