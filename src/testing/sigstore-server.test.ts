import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { bundleFromJSON, type Bundle } from '@sigstore/bundle'
import { RFC3161Timestamp } from '@sigstore/core'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import {
  DSSEBundleBuilder,
  FulcioSigner,
  MessageSignatureBundleBuilder,
  RekorWitness,
  TSAWitness,
  type Witness,
} from '@sigstore/sign'
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify'
import { bundleJson } from './cosign-layer.ts'
import { boolean, integer, nothing, octetString, oid, sequence } from './der.ts'
import { identityToken, startSigstoreServer, type SigstoreServer } from './sigstore-server.ts'
import { createSigstore, managedSigner, type Sigstore } from './sigstore.ts'
import { slsaStatement } from './statements.ts'

const IDENTITY = {
  subject: 'https://github.com/o/r/.github/workflows/release.yml@refs/heads/main',
  issuer: 'https://token.actions.githubusercontent.com',
  claims: { 12: 'https://github.com/o/r' },
}
const DATA = Buffer.from('data')
const STATEMENT = Buffer.from(JSON.stringify(slsaStatement({ name: 'app', sha256: 'ab'.repeat(32) })))

let sigstore: Sigstore
let server: SigstoreServer
before(async () => {
  sigstore = await createSigstore()
  server = await startSigstoreServer(sigstore)
})
after(() => server.stop())

function fulcio(identity: { subject: string; issuer: string } = IDENTITY): FulcioSigner {
  const identityProvider = { getToken: () => Promise.resolve(identityToken(identity)) }
  return new FulcioSigner({ fulcioBaseURL: server.url, identityProvider })
}

function verify(bundle: Bundle, thresholds = {}): ReturnType<Verifier['verify']> {
  const trusted = TrustedRoot.fromJSON(JSON.parse(sigstore.trustedRootJson()))
  const restored = bundleFromJSON(JSON.parse(bundleJson(bundle).toString()))
  const isMessage = restored.content.$case === 'messageSignature'
  return new Verifier(toTrustMaterial(trusted), thresholds).verify(
    toSignedEntity(restored, isMessage ? DATA : undefined),
  )
}

describe("sigstore-js' own clients sign against it", () => {
  const rekor = (majorApiVersion: 1 | 2, entryType: 'dsse' | 'intoto' = 'dsse') =>
    new RekorWitness({ rekorBaseURL: server.url, majorApiVersion, entryType })
  const tsa = () => new TSAWitness({ tsaBaseURL: server.url })
  const cases: [string, () => Witness[], object?][] = [
    ['Rekor v1', () => [rekor(1)]],
    ['Rekor v1, intoto 0.0.2', () => [rekor(1, 'intoto')]],
    ['Rekor v1 and timestamp', () => [rekor(1), tsa()]],
    ['Rekor v2 and timestamp', () => [rekor(2), tsa()]],
    ['timestamp only', () => [tsa()], { tlogThreshold: 0 }],
  ]
  for (const [name, witnesses, thresholds] of cases) {
    test(`DSSE, ${name}`, async () => {
      const builder = new DSSEBundleBuilder({ signer: fulcio(), witnesses: witnesses() })
      const bundle = await builder.create({ data: STATEMENT, type: 'application/vnd.in-toto+json' })
      const { identity } = verify(bundle, thresholds)
      assert.equal(identity?.subjectAlternativeName, IDENTITY.subject)
      assert.equal(identity.extensions?.issuer, IDENTITY.issuer)
    })
    test(`message, ${name}`, async () => {
      const builder = new MessageSignatureBundleBuilder({ signer: fulcio(), witnesses: witnesses() })
      const bundle = await builder.create({ data: DATA })
      assert.equal(verify(bundle, thresholds).identity?.subjectAlternativeName, IDENTITY.subject)
    })
  }
  test('an e-mail identity', async () => {
    const signer = fulcio({ subject: 'a@example.test', issuer: 'https://accounts.example.test' })
    const builder = new MessageSignatureBundleBuilder({ signer, witnesses: [rekor(1)] })
    const { identity } = verify(await builder.create({ data: DATA }))
    assert.equal(identity?.subjectAlternativeName, 'a@example.test')
  })
})

describe('Rekor v1', () => {
  const call = async (path: string, body?: object) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const response = await fetch(`${server.url}/api/v1/log${path}`, init)
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  const proposal = async (data: Buffer, from: Sigstore) => {
    const signer = managedSigner(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }))
    const bundle = await from.message(data, signer)
    const body = bundle.verificationMaterial.tlogEntries[0]?.canonicalizedBody.toString() ?? ''
    const entry: object = JSON.parse(body)
    return entry
  }
  test('an entry is found by UUID, by index and by its content, and is logged once', async () => {
    const entry = await proposal(DATA, await createSigstore())
    const created = await call('/entries', entry)
    assert.equal(created.status, 201)
    const location = created.headers.get('location') ?? ''
    const uuid = location.slice(location.lastIndexOf('/') + 1)
    assert.match(uuid, /^[0-9a-f]{80}$/)
    const found: Record<string, { logIndex: number }> = JSON.parse(created.text)
    const index = found[uuid]?.logIndex ?? -1
    for (const same of [await call(`/entries/${uuid}`), await call(`/entries?logIndex=${index}`)]) {
      assert.deepEqual(JSON.parse(same.text), found)
    }
    const queries = [{ entries: [entry] }, { entryUUIDs: [uuid] }, { logIndexes: [index] }]
    for (const query of queries) {
      assert.deepEqual(JSON.parse((await call('/entries/retrieve', query)).text), [found])
    }
    const again = await call('/entries', entry)
    assert.equal(again.status, 409)
    assert.equal(again.headers.get('location'), location)
  })
  test('an entry that was minted in memory is found too', async () => {
    const query = { entries: [await proposal(DATA, sigstore)] }
    assert.equal(JSON.parse((await call('/entries/retrieve', query)).text).length, 1)
  })
  test('what it does not hold', async () => {
    const absent = { entries: [await proposal(DATA, await createSigstore())] }
    assert.equal((await call('/entries/retrieve', absent)).text, '[]')
    assert.equal((await call(`/entries/${'0'.repeat(80)}`)).status, 404)
    assert.equal((await call('/entries', { kind: 'unknown' })).status, 400)
  })
  test('its key and its head', async () => {
    assert.match((await call('/publicKey')).text, /^-----BEGIN PUBLIC KEY-----/)
    const head: { treeSize: number; signedTreeHead: string } = JSON.parse((await call('')).text)
    assert.equal(head.signedTreeHead.split('\n')[1], String(head.treeSize))
  })
})

test('a timestamp request in DER keeps its nonce; one that is none is refused', async () => {
  const stamp = (body: Buffer) => {
    const headers = { 'content-type': 'application/timestamp-query' }
    return fetch(`${server.url}/api/v1/timestamp`, { method: 'POST', headers, body: new Uint8Array(body) })
  }
  const nonce = integer(Buffer.from('00ff00ff00ff00ff00ff', 'hex'))
  const algorithm = sequence(oid('2.16.840.1.101.3.4.2.1'), nothing())
  const imprint = sequence(algorithm, octetString(createHash('sha256').update(DATA).digest()))
  const response = await stamp(sequence(integer(1), imprint, nonce, boolean(true)))
  assert.equal(response.status, 201)
  const reply = Buffer.from(await response.arrayBuffer())
  assert.ok(reply.includes(nonce))
  RFC3161Timestamp.parse(reply).tstInfo.verify(DATA)
  assert.equal((await stamp(sequence(integer(1)))).status, 400)
})
