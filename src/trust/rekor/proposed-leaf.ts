import { hash } from 'node:crypto'
import { json as canonicalJson } from '@sigstore/core'
import { isBase64 } from '../../verify/encoding.ts'
import { EvidenceError } from '../../verify/evidence-error.ts'
import { at, listAt, parseJson, textAt } from '../../verify/json.ts'

/**
 * Hex SHA-256 of the leaf that Rekor v1 would make of a ProposedEntry, for the kinds that cosign uses (rekor pkg/types:
 * hashedrekord, dsse and intoto 0.0.1). Undefined where it is none of these. Nothing is verified; Rekor also writes PEM
 * anew, so one that is not in its usual form has another leaf there.
 */
export function proposedLeafHash(proposal: unknown): string | undefined {
  const spec = at(proposal, 'spec')
  if (textAt(proposal, 'apiVersion') !== '0.0.1') return undefined
  const kind = textAt(proposal, 'kind') ?? ''
  const logged = loggedSpec(kind, spec)
  const body =
    logged === undefined ? undefined : canonicalJson.canonicalize({ kind, apiVersion: '0.0.1', spec: logged })
  return body === undefined
    ? undefined
    : hash('sha256', Buffer.concat([Buffer.of(0), Buffer.from(body)]), 'hex')
}

function loggedSpec(kind: string, spec: unknown): object | undefined {
  switch (kind) {
    case 'hashedrekord':
      return hashedRekord(spec)
    case 'dsse':
      return dsse(spec)
    case 'intoto':
      return intoto(spec)
    default:
      return undefined
  }
}

function hashedRekord(spec: unknown): object | undefined {
  const algorithm = textAt(spec, 'data', 'hash', 'algorithm')
  const value = textAt(spec, 'data', 'hash', 'value')
  const content = textAt(spec, 'signature', 'content')
  const publicKey = textAt(spec, 'signature', 'publicKey', 'content')
  if ([algorithm, value, content, publicKey].includes(undefined)) return undefined
  return { data: { hash: { algorithm, value } }, signature: { content, publicKey: { content: publicKey } } }
}

function dsse(spec: unknown): object | undefined {
  const envelope = readEnvelope(textAt(spec, 'proposedContent', 'envelope'))
  const [verifier, ...others] = listAt(spec, 'proposedContent', 'verifiers')
  const [signature] = envelope?.signatures ?? []
  if (envelope?.signatures.length !== 1 || typeof verifier !== 'string' || others.length > 0) return undefined
  const { envelopeHash, payloadHash } = envelope
  return { envelopeHash, payloadHash, signatures: [{ signature, verifier }] }
}

function intoto(spec: unknown): object | undefined {
  const envelope = readEnvelope(textAt(spec, 'content', 'envelope'))
  const publicKey = textAt(spec, 'publicKey')
  if (envelope === undefined || publicKey === undefined) return undefined
  return { content: { hash: envelope.envelopeHash, payloadHash: envelope.payloadHash }, publicKey }
}

type Hash = { readonly algorithm: 'sha256'; readonly value: string }
type Envelope = {
  readonly envelopeHash: Hash
  readonly payloadHash: Hash
  readonly signatures: readonly string[]
}

function readEnvelope(text: string | undefined): Envelope | undefined {
  const json = text === undefined ? undefined : readJson(text)
  const payload = textAt(json, 'payload')
  if (text === undefined || payload === undefined || !isBase64(payload)) return undefined
  const signatures = listAt(json, 'signatures').flatMap((item) => textAt(item, 'sig') ?? [])
  const hashOf = (bytes: string | Buffer): Hash => ({
    algorithm: 'sha256',
    value: hash('sha256', bytes, 'hex'),
  })
  return { envelopeHash: hashOf(text), payloadHash: hashOf(Buffer.from(payload, 'base64')), signatures }
}

function readJson(text: string): unknown {
  try {
    return parseJson(Buffer.from(text), 'envelope')
  } catch (error) {
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}
