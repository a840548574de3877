import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { DsseV2, HashedRekordV2, LogBody } from './log-body.ts'

const hash = z.object({ algorithm: z.string(), value: z.string() })

const envelope = z.object({
  payload: z.string(),
  payloadType: z.string(),
  signatures: z.array(z.object({ sig: z.string() })).min(1),
})

/** rekor pkg/types: what clients post to /api/v1/log/entries, the kinds that cosign, npm and GitHub use. */
const proposal = z.union([
  z.object({
    kind: z.literal('hashedrekord'),
    apiVersion: z.literal('0.0.1'),
    spec: z.object({
      data: z.object({ hash }),
      signature: z.object({ content: z.string(), publicKey: z.object({ content: z.string() }) }),
    }),
  }),
  z.object({
    kind: z.literal('dsse'),
    apiVersion: z.literal('0.0.1'),
    spec: z.object({
      proposedContent: z.object({ envelope: z.string(), verifiers: z.array(z.string()).length(1) }),
    }),
  }),
  z.object({
    kind: z.literal('intoto'),
    apiVersion: z.literal('0.0.1'),
    spec: z.object({ content: z.object({ envelope: z.string() }), publicKey: z.string() }),
  }),
  z.object({
    kind: z.literal('intoto'),
    apiVersion: z.literal('0.0.2'),
    spec: z.object({
      content: z.object({
        envelope: z.object({
          payload: z.string(),
          payloadType: z.string(),
          signatures: z.array(z.object({ publicKey: z.string(), sig: z.string() })).length(1),
        }),
        hash,
      }),
    }),
  }),
])

/** The body that Rekor v1 logs for a proposal. Unlike Rekor it does not check the signature. */
export function proposedBody(value: unknown): LogBody {
  const entry = proposal.parse(value)
  switch (entry.kind) {
    case 'hashedrekord': {
      const { data, signature } = entry.spec
      return { kind: entry.kind, apiVersion: entry.apiVersion, spec: { data, signature } }
    }
    case 'dsse': {
      const { envelope: text, verifiers } = entry.spec.proposedContent
      const { payload, signatures } = envelope.parse(JSON.parse(text))
      const verifier = verifiers[0] ?? ''
      return {
        kind: entry.kind,
        apiVersion: entry.apiVersion,
        spec: {
          envelopeHash: hashOf(text),
          payloadHash: hashOf(Buffer.from(payload, 'base64')),
          signatures: signatures.map(({ sig }) => ({ signature: sig, verifier })),
        },
      }
    }
    case 'intoto':
      return entry.apiVersion === '0.0.1' ? intotoV1(entry.spec) : intotoV2(entry.spec)
  }
}

function intotoV1(spec: { content: { envelope: string }; publicKey: string }): LogBody {
  const text = spec.content.envelope
  const payloadHash = hashOf(Buffer.from(envelope.parse(JSON.parse(text)).payload, 'base64'))
  const content = { hash: hashOf(text), payloadHash }
  return { kind: 'intoto', apiVersion: '0.0.1', spec: { content, publicKey: spec.publicKey } }
}

type IntotoV2Spec = {
  content: {
    envelope: { payload: string; payloadType: string; signatures: { publicKey: string; sig: string }[] }
    hash: { algorithm: string; value: string }
  }
}

/** Payload and signature arrive as base64 of base64. */
function intotoV2({ content }: IntotoV2Spec): LogBody {
  const { payload, payloadType, signatures } = content.envelope
  const inner = Buffer.from(Buffer.from(payload, 'base64').toString(), 'base64')
  const summary = { envelope: { payloadType, signatures }, hash: content.hash, payloadHash: hashOf(inner) }
  return { kind: 'intoto', apiVersion: '0.0.2', spec: { content: summary } }
}

const rawBytes = z.object({ rawBytes: z.string() })
const verifier = z.union([
  z.object({ keyDetails: z.string(), x509Certificate: rawBytes }),
  z.object({ keyDetails: z.string(), publicKey: rawBytes }),
])

/** rekor-tiles api/proto/rekor/v2: what clients post to /api/v2/log/entries. */
const requestV2 = z.union([
  z.object({
    hashedRekordRequestV002: z.object({
      digest: z.string(),
      signature: z.object({ content: z.string(), verifier }),
    }),
  }),
  z.object({ dsseRequestV002: z.object({ envelope, verifiers: z.array(verifier).length(1) }) }),
])

export function requestedBodyV2(value: unknown): HashedRekordV2 | DsseV2 {
  const request = requestV2.parse(value)
  if ('hashedRekordRequestV002' in request) {
    const { digest, signature } = request.hashedRekordRequestV002
    const data = { algorithm: 'SHA2_256' as const, digest }
    return { apiVersion: '0.0.2', kind: 'hashedrekord', spec: { hashedRekordV002: { data, signature } } }
  }
  const { envelope: sent, verifiers } = request.dsseRequestV002
  const digest = Buffer.from(hashOf(Buffer.from(sent.payload, 'base64')).value, 'hex').toString('base64')
  const signatures = verifiers.flatMap((one) =>
    sent.signatures.map(({ sig }) => ({ content: sig, verifier: one })),
  )
  const payloadHash = { algorithm: 'SHA2_256' as const, digest }
  return { apiVersion: '0.0.2', kind: 'dsse', spec: { dsseV002: { payloadHash, signatures } } }
}

function hashOf(bytes: Uint8Array | string): { algorithm: string; value: string } {
  return { algorithm: 'sha256', value: createHash('sha256').update(bytes).digest('hex') }
}
