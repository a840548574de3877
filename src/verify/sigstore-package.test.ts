import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { bundleFromJSON } from '@sigstore/bundle'
import { attest, sign, type SignOptions } from 'sigstore'
import { digestOf } from '../oci/digest.ts'
import { bundleJson } from '../testing/cosign-layer.ts'
import { identityToken, startSigstoreServer, type SigstoreServer } from '../testing/sigstore-server.ts'
import { createSigstore, type Sigstore } from '../testing/sigstore.ts'
import { slsaStatement } from '../testing/statements.ts'
import { parseTrustRoot } from '../trust/trust-root.ts'
import { verifyCandidate } from './verify.ts'

/** What Sigstore's own JavaScript client signs is what its users publish; it must verify here. */
describe('bundles that the sigstore package makes', () => {
  const identity = { subject: 'https://ci.example/release@refs/tags/v1', issuer: 'https://issuer.example' }
  let sigstore: Sigstore
  let server: SigstoreServer

  before(async () => {
    sigstore = await createSigstore()
    server = await startSigstoreServer(sigstore)
  })
  after(async () => await server.stop())

  function options(): SignOptions {
    const services = { fulcioURL: server.url, rekorURL: server.url }
    return { ...services, identityToken: identityToken(identity), retry: false }
  }

  function verify(json: unknown, subject: Buffer) {
    const bytes = bundleJson(bundleFromJSON(json))
    const source = { found: 'file', manifest: digestOf(bytes), blob: digestOf(bytes) } as const
    const roots = [parseTrustRoot('private', sigstore.trustedRootJson())]
    return verifyCandidate(
      { form: 'bundle', source, bytes },
      { subject: digestOf(subject), artifact: subject, roots, keys: [] },
    )
  }

  it('sign: a signature over the artifact', async () => {
    const artifact = Buffer.from('{"schemaVersion":2}')
    const { verified, failures } = verify(await sign(artifact, options()), artifact)
    assert.deepEqual(failures, [])
    assert.equal(verified[0]?.claim.kind, 'signature')
    assert.equal(
      verified[0]?.signer.kind === 'keyless' && verified[0].signer.identity.subject,
      identity.subject,
    )
  })

  it('attest: a statement about the artifact, and about no other', async () => {
    const artifact = Buffer.from('{"schemaVersion":2}')
    const sha256 = digestOf(artifact).slice('sha256:'.length)
    const statement = Buffer.from(JSON.stringify(slsaStatement({ name: 'app', sha256 })))
    const bundle = await attest(statement, 'application/vnd.in-toto+json', options())
    assert.equal(verify(bundle, artifact).verified[0]?.claim.kind, 'attestation')
    assert.equal(verify(bundle, Buffer.from('another')).failures[0]?.code, 'subject')
  })
})
