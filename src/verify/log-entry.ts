import { hash, verify } from 'node:crypto'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import { json as canonicalJson } from '@sigstore/core'
import type { TrustMaterial } from '@sigstore/verify'
import { publicKeyOf, readPem, spkiOf } from './encoding.ts'
import { EvidenceError } from './evidence-error.ts'
import type { SignedContent } from './evidence.ts'
import { verifyInclusion } from './inclusion.ts'
import { at, listAt, parseJson, textAt } from './json.ts'

export type TransparencyLog = TrustMaterial['tlogs'][number]

function badEntry(message: string): EvidenceError {
  return new EvidenceError('log-entry', message)
}

/** DER of a certificate or SubjectPublicKeyInfo that Rekor v1 keeps as base64 of PEM. */
function fromPem(base64: string | undefined): Buffer | undefined {
  const block = base64 === undefined ? undefined : readPem(Buffer.from(base64, 'base64').toString('utf8'))
  if (block === undefined || block.label === 'CERTIFICATE' || block.label === 'PUBLIC KEY') return block?.der
  const key = publicKeyOf(block)
  return key === undefined ? undefined : spkiOf(key)
}

/** The same in Rekor v2, as protobuf JSON. */
function fromVerifier(signature: unknown): Buffer | undefined {
  const base64 =
    textAt(signature, 'verifier', 'x509Certificate', 'rawBytes') ??
    textAt(signature, 'verifier', 'publicKey', 'rawBytes')
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64')
}

/** What the entry says the signature verifies with; rekor pkg/types and rekor-tiles, by kind and version. */
function verifiersOf(entry: TransparencyLogEntry): readonly (Buffer | undefined)[] {
  const body = parseJson(entry.canonicalizedBody, 'log entry body')
  switch (`${textAt(body, 'kind') ?? ''}/${textAt(body, 'apiVersion') ?? ''}`) {
    case 'hashedrekord/0.0.1':
      return [fromPem(textAt(body, 'spec', 'signature', 'publicKey', 'content'))]
    case 'dsse/0.0.1':
      return listAt(body, 'spec', 'signatures').map((item) => fromPem(textAt(item, 'verifier')))
    case 'intoto/0.0.1':
      return [fromPem(textAt(body, 'spec', 'publicKey'))]
    case 'intoto/0.0.2':
      return listAt(body, 'spec', 'content', 'envelope', 'signatures').map((item) =>
        fromPem(textAt(item, 'publicKey')),
      )
    case 'hashedrekord/0.0.2':
      return [fromVerifier(at(body, 'spec', 'hashedRekordV002', 'signature'))]
    case 'dsse/0.0.2':
      return listAt(body, 'spec', 'dsseV002', 'signatures').map(fromVerifier)
    default:
      throw new EvidenceError('unsupported', 'log entry of an unsupported kind')
  }
}

/**
 * Sigstore client spec 4.4: the entry must name the very certificate or key. Otherwise someone who holds a certificate
 * for an identity could log under a throw-away one, which those who watch the log for the identity never see.
 */
export function assertNamesSigner(entry: TransparencyLogEntry, isSigner: (der: Buffer) => boolean): void {
  if (!namesSigner(entry, isSigner)) throw badEntry('log entry was made with a different key or certificate')
}

/** Whether the entry names this certificate or key and no other. Throws EvidenceError where its kind is not known. */
export function namesSigner(entry: TransparencyLogEntry, isSigner: (der: Buffer) => boolean): boolean {
  const [verifier, ...others] = verifiersOf(entry)
  return verifier !== undefined && others.length === 0 && isSigner(verifier)
}

/** What `cosign attest` logged before 2.2. It names the envelope by its hash only, so the envelope's bytes are needed. */
export function isIntotoV001(entry: TransparencyLogEntry): boolean {
  return entry.kindVersion.kind === 'intoto' && entry.kindVersion.version === '0.0.1'
}

export function integratedTime(entry: TransparencyLogEntry): Date {
  return new Date(Number(entry.integratedTime) * 1000)
}

export function isValidAt(log: TransparencyLog, time: Date): boolean {
  return log.validFor.start <= time && time <= log.validFor.end
}

/** Rekor's signed entry timestamp: a signature over the canonical JSON (RFC 8785) of these four fields. */
function hasValidPromise(entry: TransparencyLogEntry, logs: readonly TransparencyLog[]): boolean {
  const promise = entry.inclusionPromise?.signedEntryTimestamp
  if (promise === undefined) return false
  const payload = canonicalJson.canonicalize({
    body: entry.canonicalizedBody.toString('base64'),
    integratedTime: Number(entry.integratedTime),
    logIndex: Number(entry.logIndex),
    logID: entry.logId.keyId.toString('hex'),
  })
  if (payload === undefined) return false
  return logs.some(
    (log) =>
      log.logID.equals(entry.logId.keyId) &&
      isValidAt(log, integratedTime(entry)) &&
      verify(
        log.publicKey.asymmetricKeyType === 'ed25519' ? null : 'sha256',
        Buffer.from(payload),
        log.publicKey,
        promise,
      ),
  )
}

/**
 * Verifies an `intoto/0.0.1` entry, which @sigstore/verify does not know: its promise, its proof where it has one, and
 * that it is of this envelope.
 */
export function verifyIntotoV001(
  entry: TransparencyLogEntry,
  content: SignedContent,
  logs: readonly TransparencyLog[],
): void {
  if (content.kind !== 'envelope' || content.layer === undefined) {
    throw new EvidenceError('unsupported', 'log entry of kind intoto/0.0.1 outside of an attestation layer')
  }
  const body = parseJson(entry.canonicalizedBody, 'log entry body')
  if (textAt(body, 'kind') !== 'intoto' || textAt(body, 'apiVersion') !== '0.0.1') {
    throw badEntry('log entry is not of the kind it claims')
  }
  if (!hasValidPromise(entry, logs)) throw badEntry('inclusion promise could not be verified')
  if (entry.inclusionProof !== undefined) verifyInclusion(entry, logs)
  const algorithm = textAt(body, 'spec', 'content', 'hash', 'algorithm')
  const value = textAt(body, 'spec', 'content', 'hash', 'value')
  if (algorithm !== 'sha256' || value !== hash('sha256', content.layer, 'hex')) {
    throw badEntry('log entry is for another envelope')
  }
}
