import { hash, type KeyObject } from 'node:crypto'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import { spkiOf } from './encoding.ts'
import type { SignedContent } from './evidence.ts'
import { EvidenceError } from './evidence-error.ts'
import { at, parseJson, textAt } from './json.ts'
import { PROPOSED_ENVELOPE_BYTES_MAX } from './limits.ts'
import { namesSigner } from './log-entry.ts'
import { schemesFor, verifyBytes } from './signature-scheme.ts'
import type { LogQuery, PublicKey } from './types.ts'

/** Whom the entry must name, in the two forms in which Rekor v1 asks for it. */
type Signatory = { readonly der: Buffer; readonly pem: string }

type SigningKey = Pick<PublicKey, 'key' | 'scheme'>

type Proposal = { readonly kind: string; readonly apiVersion: '0.0.1'; readonly spec: object }

function toPem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}

function base64(bytes: Buffer | string): string {
  return Buffer.from(bytes).toString('base64')
}

/** Digests under which the signature may have been logged: SHA-256, and the key's own where that is another. */
function loggedDigests(
  content: Exclude<SignedContent, { kind: 'envelope' }>,
  key: SigningKey,
): readonly { algorithm: string; value: string }[] {
  if (content.kind === 'artifact')
    return [{ algorithm: content.algorithm, value: content.digest.toString('hex') }]
  const { payload, signature } = content
  const schemes = schemesFor(key.key, key.scheme)
  const used = schemes.find((scheme) => verifyBytes(payload, key.key, signature, scheme))
  const names = new Set(['sha256', used?.hash ?? 'sha256'])
  return [...names].map((algorithm) => ({ algorithm, value: hash(algorithm, payload, 'hex') }))
}

function proposalsFor(content: SignedContent, { pem }: Signatory, key: SigningKey): readonly Proposal[] {
  const publicKey = base64(pem)
  if (content.kind !== 'envelope') {
    const signature = { content: base64(content.signature), publicKey: { content: publicKey } }
    return loggedDigests(content, key).map((digest) => ({
      kind: 'hashedrekord',
      apiVersion: '0.0.1',
      spec: { data: { hash: digest }, signature },
    }))
  }
  // A copy of a layer may be worded anew, and verifies all the same by a `dsse` entry of the first.
  const own = content.layer?.toString('utf8')
  const usual = usualText(content)
  const texts = [...new Set([own ?? usual, usual])].filter(
    ({ length }) => length <= PROPOSED_ENVELOPE_BYTES_MAX,
  )
  const dsse = texts.map((envelope): Proposal => {
    const proposedContent = { envelope, verifiers: [publicKey] }
    return { kind: 'dsse', apiVersion: '0.0.1', spec: { proposedContent } }
  })
  if (own === undefined || own.length > PROPOSED_ENVELOPE_BYTES_MAX) return dsse
  // cosign before 2.2 logged attestations so. It names this very text, and proves nothing of another.
  const spec = { content: { envelope: own }, publicKey }
  return [...dsse, { kind: 'intoto', apiVersion: '0.0.1', spec }]
}

type Envelope = Extract<SignedContent, { kind: 'envelope' }>

/** In a bundle the envelope's own text is not kept; most signers write it like this. */
function usualText({ payload, payloadType, signature }: Envelope): string {
  const signatures = [{ keyid: '', sig: base64(signature) }]
  return JSON.stringify({ payloadType, payload: base64(payload), signatures })
}

/** Whether the text that was logged is known; an envelope's may not be, or be too large to be sent. */
function isExact(content: SignedContent): boolean {
  if (content.kind !== 'envelope') return true
  return content.layer !== undefined && content.layer.length <= PROPOSED_ENVELOPE_BYTES_MAX
}

function queryOf(content: SignedContent, by: Signatory, key: SigningKey): LogQuery {
  const signature = base64(content.signature)
  const signer = `sha256:${hash('sha256', by.der, 'hex')}`
  const layer = content.kind === 'envelope' ? content.layer : undefined
  const proposals = proposalsFor(content, by, key).map((proposal) => JSON.stringify(proposal))
  return {
    id: hash('sha256', JSON.stringify([signature, signer, content.kind]), 'hex'),
    wording: hash('sha256', proposals.join('\n'), 'hex'),
    proposals,
    isExact: isExact(content),
    indexedBy: content.kind === 'envelope' ? `sha256:${hash('sha256', content.payload, 'hex')}` : undefined,
    signature,
    signer,
    envelopeHashes: layer === undefined ? [] : [hash('sha256', layer, 'hex')],
  }
}

/**
 * One question for all copies of a signature. Whoever may push can add copies in other words, so not all words are
 * proposed: beyond a limit the log's index is asked as well.
 */
export function uniteQueries(first: LogQuery, copies: readonly LogQuery[]): LogQuery {
  const all = [first, ...copies]
  const distinct = [...new Map(all.map((query) => [query.wording, query])).values()]
  if (distinct.length === 1) return first
  // The usual words are those of every copy, so however many there are, they come first.
  const counts = new Map<string, number>()
  for (const proposal of distinct.flatMap((query) => query.proposals))
    counts.set(proposal, (counts.get(proposal) ?? 0) + 1)
  const proposals = [...counts].toSorted(([, a], [, b]) => b - a).map(([proposal]) => proposal)
  return {
    ...first,
    wording: hash('sha256', distinct.map(({ wording }) => wording).join('\n'), 'hex'),
    proposals: proposals.slice(0, PROPOSALS_MAX),
    isExact: proposals.length <= PROPOSALS_MAX && distinct.every((query) => query.isExact),
    envelopeHashes: distinct.flatMap(({ envelopeHashes }) => envelopeHashes),
  }
}

/** In one look-up, one after the other. A single copy makes at most three. */
const PROPOSALS_MAX = 6

/** The question for a signature by a key of one's own. */
export function keyQuery(content: SignedContent, key: PublicKey): LogQuery {
  const der = spkiOf(key.key)
  return queryOf(content, { der, pem: toPem('PUBLIC KEY', der) }, key)
}

/** The question for a signature by the key of a certificate. */
export function certificateQuery(content: SignedContent, certificate: Buffer, key: KeyObject): LogQuery {
  const by = { der: certificate, pem: toPem('CERTIFICATE', certificate) }
  return queryOf(content, by, { key })
}

/** What the entry says was signed: rekor pkg/types by kind; undefined where it keeps no signature. */
function signatureIn(body: unknown): string | undefined {
  switch (`${textAt(body, 'kind') ?? ''}/${textAt(body, 'apiVersion') ?? ''}`) {
    case 'hashedrekord/0.0.1':
      return textAt(body, 'spec', 'signature', 'content')
    case 'dsse/0.0.1':
      return textAt(body, 'spec', 'signatures', 0, 'signature')
    case 'intoto/0.0.2': {
      // Base64 twice.
      const text = textAt(body, 'spec', 'content', 'envelope', 'signatures', 0, 'sig')
      return text === undefined ? undefined : Buffer.from(text, 'base64').toString('latin1')
    }
    default:
      return undefined
  }
}

/**
 * Whether the entry claims to be of this signature and signer. A log holds others for the same content, by anyone; of
 * those that claim it the verifier decides.
 */
export function isAbout(query: LogQuery, entry: TransparencyLogEntry): boolean {
  try {
    const isSigner = (der: Buffer) => `sha256:${hash('sha256', der, 'hex')}` === query.signer
    if (!namesSigner(entry, isSigner)) return false
    const body = parseJson(entry.canonicalizedBody, 'log entry body')
    const signature = signatureIn(body)
    if (signature !== undefined) return signature === query.signature
    const envelopeHash = at(body, 'spec', 'content', 'hash', 'value')
    return query.envelopeHashes.some((own) => own === envelopeHash)
  } catch (error) {
    if (error instanceof EvidenceError) return false
    throw error
  }
}
