import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, suite, test } from 'node:test'
import { toPem } from '../testing/certificate.ts'
import { cosignLayer, stampedLayer, type CosignLayer } from '../testing/cosign-layer.ts'
import { createSigstore, managedSigner, type MintOptions, type Sigstore } from '../testing/sigstore.ts'
import { simpleSigningPayload, statement } from '../testing/statements.ts'
import {
  assertAccepted,
  assertRefused,
  IDENTITY,
  layerCandidate,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import { digestOf } from '../oci/digest.ts'
import type { CandidateResult, FailureCode } from './types.ts'
import { verifyCandidate, type SubjectInput } from './verify.ts'

const PAIR = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const KEY = { id: digestOf(PAIR.publicKey.export({ format: 'der', type: 'spki' })), key: PAIR.publicKey }
const PAYLOAD = simpleSigningPayload('r.test/app', SUBJECT)
const A = {
  signature: 'dev.cosignproject.cosign/signature',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
  bundle: 'dev.sigstore.cosign/bundle',
  timestamp: 'dev.sigstore.cosign/rfc3161timestamp',
} as const

let sigstore: Sigstore
let input: SubjectInput

before(async () => {
  sigstore = await createSigstore()
  input = { subject: SUBJECT, roots: [trustRootOf(sigstore.trustedRoot())], keys: [KEY] }
})

function verify(layer: CosignLayer): CandidateResult {
  return verifyCandidate(layerCandidate(layer), input)
}

async function sig(mint: MintOptions = {}, payload = PAYLOAD): Promise<CosignLayer> {
  return cosignLayer(await sigstore.message(payload, sigstore.keyless(IDENTITY), mint), payload)
}

async function att(mint: MintOptions = {}): Promise<CosignLayer> {
  return cosignLayer(await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), mint), Buffer.alloc(0))
}

function without(layer: CosignLayer, name: string): CosignLayer {
  return {
    ...layer,
    annotations: Object.fromEntries(Object.entries(layer.annotations).filter(([key]) => key !== name)),
  }
}

function annotated(layer: CosignLayer, name: string, value: string): CosignLayer {
  return { ...layer, annotations: { ...layer.annotations, [name]: value } }
}

suite('.sig', () => {
  test('keyless, by its promise', async () => {
    const { claim, signer, logs, times } = assertAccepted(verify(await sig()))
    assert.deepEqual(claim, { kind: 'signature' })
    assert.equal(signer.kind, 'keyless')
    assert.deepEqual(
      logs.map(({ promise, inclusion }) => ({ promise, inclusion })),
      [{ promise: true, inclusion: false }],
    )
    assert.deepEqual(
      times.map(({ source }) => source),
      ['log'],
    )
  })
  test('keyless with a timestamp', async () => {
    assert.equal(assertAccepted(verify(await sig({ timestamp: true }))).times.length, 2)
  })
  test('keyless with a timestamp, but in no log: refused', async () => {
    assertRefused(verify(await sig({ log: 0, timestamp: true })), 'log-entry', /no entry/)
  })
  test('the chain annotation is not read', async () => {
    const [, root] = sigstore.fulcio.chain
    assertAccepted(verify(annotated(await sig(), A.chain, toPem(root ?? Buffer.alloc(0)))))
  })
  for (const log of [0, 1] as const) {
    test(`managed key, ${log === 0 ? 'in no log' : 'logged'}`, async () => {
      const layer = cosignLayer(await sigstore.message(PAYLOAD, managedSigner(PAIR), { log }), PAYLOAD)
      assert.equal(assertAccepted(verify(layer)).logs.length, log)
    })
  }

  const payload = (edit: (critical: { type: string; image: Record<string, unknown> }) => void): Buffer => {
    const json: { critical: { type: string; image: Record<string, unknown> } } = JSON.parse(
      PAYLOAD.toString(),
    )
    edit(json.critical)
    return Buffer.from(JSON.stringify(json))
  }
  const payloads: readonly (readonly [string, Buffer, FailureCode, RegExp])[] = [
    [
      'another image',
      simpleSigningPayload('r.test/app', `sha256:${'ee'.repeat(32)}`),
      'subject',
      /signature is of sha256:ee/,
    ],
    ['no image', payload(({ image }) => delete image['docker-manifest-digest']), 'subject', /no manifest/],
    [
      'an image that is no text',
      payload(({ image }) => (image['docker-manifest-digest'] = [SUBJECT])),
      'subject',
      /no manifest/,
    ],
    [
      'another type',
      payload((critical) => (critical.type = 'atomic container signature')),
      'unsupported',
      /atomic/,
    ],
    ['no JSON', Buffer.from('sha256'), 'malformed', /not JSON/],
    ['null', Buffer.from('null'), 'unsupported', /type/],
  ]
  for (const [name, bytes, code, message] of payloads) {
    test(`a signed payload of ${name}: refused`, async () =>
      assertRefused(verify(await sig({}, bytes)), code, message))
  }

  test('a payload with one byte more: refused', async () => {
    const layer = await sig()
    assertRefused(
      verify({ ...layer, bytes: Buffer.concat([layer.bytes, Buffer.from(' ')]) }),
      'log-entry',
      /digest mismatch/,
    )
  })

  const broken: readonly (readonly [string, string, string, RegExp])[] = [
    ['signature that is not base64', A.signature, '!', /base64/],
    ['empty signature', A.signature, '', /missing/],
    ['certificate that is no PEM', A.certificate, 'x', /PEM/],
    [
      'key for a certificate',
      A.certificate,
      PAIR.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
      /PEM certificate/,
    ],
    ['Rekor bundle that is no JSON', A.bundle, '{', /not JSON/],
    ['Rekor bundle without a body', A.bundle, '{"Payload":{}}', /body is missing/],
    ['timestamp that is no JSON', A.timestamp, '[', /not JSON/],
    ['timestamp of garbage', A.timestamp, '{"SignedRFC3161Timestamp":"AAAA"}', /RFC 3161/],
  ]
  for (const [name, annotation, value, message] of broken) {
    test(`${name}: refused`, async () =>
      assertRefused(verify(annotated(await sig(), annotation, value)), 'malformed', message))
  }

  const FIELDS = ['logIndex', 'integratedTime', 'logID'] as const
  for (const field of FIELDS) {
    test(`Rekor bundle with another ${field}: refused`, async () => {
      const layer = await sig()
      const proof: { Payload: Record<string, unknown> } = JSON.parse(layer.annotations[A.bundle] ?? '')
      const old = proof.Payload[field]
      proof.Payload[field] = typeof old === 'number' ? old + 60 : '00'.repeat(32)
      assert.equal(verify(annotated(layer, A.bundle, JSON.stringify(proof))).failures[0]?.code, 'log-entry')
      proof.Payload[field] = -1
      assertRefused(verify(annotated(layer, A.bundle, JSON.stringify(proof))), 'malformed', /Rekor/)
    })
  }
})

suite('.att', () => {
  for (const [name, mint] of [
    ['dsse/0.0.1', {}],
    ['intoto/0.0.1', { intoto001: true }],
    ['intoto/0.0.2', { intoto002: true }],
  ] as const) {
    test(`keyless, ${name}`, async () => {
      const { claim, logs, times } = assertAccepted(verify(await att(mint)))
      assert.deepEqual(claim, {
        kind: 'attestation',
        statement: { predicateType: STATEMENT.predicateType, predicate: STATEMENT.predicate },
      })
      assert.deepEqual([logs.length, times.length], [1, 1])
    })
    test(`${name} without its promise: refused`, async () => {
      assertRefused(verify(without(await att(mint), A.bundle)), 'log-entry', /no entry/)
    })
    test(`${name} of another envelope: refused`, async () => {
      const [one, two] = [await att(mint), await att(mint)]
      assert.equal(
        verify(annotated(one, A.bundle, two.annotations[A.bundle] ?? '')).failures[0]?.code,
        'log-entry',
      )
    })
  }

  test('intoto/0.0.1 with a forged time: refused', async () => {
    const layer = await att({ intoto001: true })
    const proof: { Payload: { integratedTime: number } } = JSON.parse(layer.annotations[A.bundle] ?? '')
    proof.Payload.integratedTime += 60
    assertRefused(
      verify(annotated(layer, A.bundle, JSON.stringify(proof))),
      'log-entry',
      /promise could not be verified/,
    )
  })
  test('intoto/0.0.1 for another envelope hash: refused', async () => {
    const layer = await att({
      intoto001: true,
      mutateBody: (body) => {
        if (body.kind === 'intoto') body.spec.content.hash.value = 'ee'.repeat(32)
      },
    })
    assertRefused(verify(layer), 'log-entry', /another envelope/)
  })
  test('a timestamp over the whole layer: accepted', async () => {
    const layer = await att()
    assert.equal(
      assertAccepted(verify(stampedLayer(layer, await sigstore.stamp(layer.bytes)))).times.length,
      2,
    )
  })
  test('a timestamp over the signature alone: refused, since cosign stamps the layer', async () => {
    const layer = await att()
    const { signatures }: { signatures: { sig: string }[] } = JSON.parse(layer.bytes.toString())
    const token = await sigstore.stamp(Buffer.from(signatures[0]?.sig ?? '', 'base64'))
    assertRefused(verify(stampedLayer(layer, token)), 'timestamp', /could not be verified/)
  })
  test('managed key in no log', async () => {
    const bundle = await sigstore.dsse(STATEMENT, managedSigner(PAIR), { log: 0 })
    assertAccepted(verify(cosignLayer(bundle, Buffer.alloc(0))))
  })
  test("cosign 3's statement is a signature", async () => {
    const signed = statement('', SUBJECT.slice(7), 'https://sigstore.dev/cosign/sign/v1', {})
    const bundle = await sigstore.dsse(signed, sigstore.keyless(IDENTITY))
    assert.deepEqual(assertAccepted(verify(cosignLayer(bundle, Buffer.alloc(0)))).claim, {
      kind: 'signature',
    })
  })
  for (const [name, edit, message] of [
    ['no signature', (envelope: { signatures: object[] }) => envelope.signatures.splice(0), /0 signatures/],
    ['two signatures', (envelope: { signatures: object[] }) => envelope.signatures.push({}), /2 signatures/],
    ['no payload', (envelope: { payload?: string }) => delete envelope.payload, /payload is missing/],
    ['no payload type', (envelope: { payloadType?: string }) => delete envelope.payloadType, /payload type/],
  ] as const) {
    test(`envelope with ${name}: refused`, async () => {
      const layer = await att()
      const envelope: Parameters<typeof edit>[0] & { signatures: object[] } = JSON.parse(
        layer.bytes.toString(),
      )
      edit(envelope)
      assertRefused(verify({ ...layer, bytes: Buffer.from(JSON.stringify(envelope)) }), 'malformed', message)
    })
  }
  test('a payload type that only looks the same is signed as what it is', async () => {
    const layer = await att()
    const text = layer.bytes
      .toString()
      .replace('application/vnd.in-toto+json', 'application/vnd.in-toto+jso\u016e')
    assert.equal(verify({ ...layer, bytes: Buffer.from(text) }).verified.length, 0)
  })
})
