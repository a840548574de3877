import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { after, before, mock, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { digestOf, matchesDigest, parseDigest, type Digest } from '../oci/digest.ts'
import { createSigstore } from '../testing/sigstore.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  IDENTITY,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import { loadPublicGoodRoot } from '../trust/public-good.ts'
import type { Candidate } from './types.ts'
import { verifyCandidate } from './verify.ts'

/** Images that slsa-framework publishes, with their attestations, beside the project where the machine has them. */
const IMAGES = fileURLToPath(new URL('../../../shared/fixtures/images/', import.meta.url))

type Layer = { readonly digest: string; readonly annotations: Record<string, string> }
type Index = {
  readonly manifests: { readonly digest: string; readonly annotations: { readonly kind: string } }[]
}

function readJson<T>(path: string): T {
  const value: T = JSON.parse(readFileSync(path, 'utf8'))
  return value
}

function toDigest(text: string): Digest {
  return parseDigest(text.trim()) ?? assert.fail(`not a digest: ${text}`)
}

function attestationsOf(version: string): readonly Candidate[] {
  const blob = (digest: string): string => `${IMAGES}${version}/blobs/${digest.replace(':', '/')}`
  const { manifests } = readJson<Index>(`${IMAGES}${version}/index.json`)
  return manifests
    .filter(({ annotations }) => annotations.kind.endsWith('/atts'))
    .flatMap(({ digest }) =>
      readJson<{ layers: Layer[] }>(blob(digest)).layers.map((layer): Candidate => {
        const bytes = readFileSync(blob(layer.digest))
        assert.ok(matchesDigest(bytes, toDigest(layer.digest)))
        const source = {
          found: 'attestation-tag',
          manifest: toDigest(digest),
          blob: digestOf(bytes),
        } as const
        return { form: 'dsse', source, bytes, annotations: layer.annotations }
      }),
    )
}

suite('without a network', () => {
  before(() => {
    const refuse = (): never => {
      throw new Error('the verifier tried to use the network')
    }
    mock.method(net.Socket.prototype, 'connect', refuse)
    mock.method(globalThis, 'fetch', refuse)
  })
  after(() => mock.restoreAll())

  test('the network is really out of reach', () => {
    assert.throws(() => net.connect(1, '127.0.0.1'), /tried to use the network/)
  })

  test('a minted bundle verifies', async () => {
    const sigstore = await createSigstore()
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), { log: 2 })
    const input = { subject: SUBJECT, roots: [trustRootOf(sigstore.trustedRoot())], keys: [] }
    assertAccepted(verifyCandidate(bundleCandidate(bundle), input))
  })

  for (const version of ['v1.4.0', 'v1.9.0', 'v2.0.0']) {
    test(
      `the provenance of a real image, ${version}`,
      {
        skip: !existsSync(IMAGES) && 'the images are not on this machine',
      },
      () => {
        const subject = toDigest(readFileSync(`${IMAGES}${version}.digest`, 'utf8'))
        const input = { subject, roots: [loadPublicGoodRoot()], keys: [] }
        const candidates = attestationsOf(version)
        assert.ok(candidates.length > 0)
        for (const candidate of candidates) {
          const { signer, claim, logs } = assertAccepted(verifyCandidate(candidate, input))
          assert.ok(signer.kind === 'keyless' && claim.kind === 'attestation')
          assert.equal(
            signer.identity.subject,
            `https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/${version}`,
          )
          assert.equal(signer.identity.issuer, 'https://token.actions.githubusercontent.com')
          assert.equal(claim.statement.predicateType, 'https://slsa.dev/provenance/v0.2')
          assert.equal(logs.length, 1)
          assertRefused(
            verifyCandidate(candidate, { ...input, subject: SUBJECT }),
            'subject',
            /statement is of/,
          )
        }
      },
    )
  }
})
