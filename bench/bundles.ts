import { generateKeyPairSync } from 'node:crypto'
import { digestOf } from '../src/oci/digest.ts'
import { managedSigner, type Bundle, type Sigstore } from '../src/testing/sigstore.ts'
import { slsaStatement } from '../src/testing/statements.ts'
import { publicKeyOf } from '../src/testing/verification.ts'
import type { PublicKey } from '../src/verify/types.ts'

/** One image, and each kind of bundle about it as real signers make them. */

export const ARTIFACT = Buffer.from(JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }))
export const SUBJECT = digestOf(ARTIFACT)
const REPOSITORY = 'https://github.com/o/r'
const WORKFLOW = `${REPOSITORY}/.github/workflows/release.yml@refs/heads/main`
const COMMIT = 'a'.repeat(40)
/** The claims that every certificate for GitHub Actions carries. */
export const IDENTITY = {
  subject: WORKFLOW,
  issuer: 'https://token.actions.githubusercontent.com',
  claims: {
    2: 'push',
    3: COMMIT,
    4: 'release',
    5: 'o/r',
    6: 'refs/heads/main',
    9: WORKFLOW,
    10: COMMIT,
    11: 'github-hosted',
    12: REPOSITORY,
    13: COMMIT,
    14: 'refs/heads/main',
    15: '123456789',
    16: 'https://github.com/o',
    17: '987654321',
    18: WORKFLOW,
    19: COMMIT,
    20: 'push',
    21: `${REPOSITORY}/actions/runs/1234567890/attempts/1`,
    22: 'public',
  },
}
const PAIR = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

/** Whoever signs without a certificate. */
export const MANAGED_KEY: PublicKey = publicKeyOf(PAIR.publicKey)

export type BundleKind = 'message' | 'provenance' | 'stamped' | 'rekor-2' | 'key'

export async function mintBundles(sigstore: Sigstore): Promise<Readonly<Record<BundleKind, Bundle>>> {
  const statement = slsaStatement({ name: 'r.test/app', sha256: SUBJECT.slice('sha256:'.length) })
  const keyless = sigstore.keyless(IDENTITY)
  return {
    message: await sigstore.message(ARTIFACT, keyless),
    provenance: await sigstore.dsse(statement, keyless),
    stamped: await sigstore.dsse(statement, keyless, { timestamp: true }),
    'rekor-2': await sigstore.dsse(statement, keyless, { log: 2 }),
    key: await sigstore.dsse(statement, managedSigner(PAIR)),
  }
}
