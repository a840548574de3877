import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { suite, test } from 'node:test'
import { verifyBundleCommand, type VerifyBundleOptions } from '../../src/cli/verify-bundle.ts'

/** Cases of the public sigstore-conformance suite, beside the project where the machine has them. */
const SUITE = fileURLToPath(new URL('../../../shared/fixtures/sigstore-conformance/', import.meta.url))

/** The suite's defaults, test/conftest.py. */
const BEACON =
  'https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main'
const ISSUER = 'https://token.actions.githubusercontent.com'

function textOr(path: string, otherwise: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : otherwise
}

function optionsFor(name: string): VerifyBundleOptions {
  const file = (part: string): string => `${SUITE}${name}/${part}`
  const trustedRoot = existsSync(file('trusted_root.json')) ? { trustedRoot: file('trusted_root.json') } : {}
  const signer = existsSync(file('key.pub'))
    ? { key: file('key.pub') }
    : {
        certificateIdentity: textOr(file('identity'), BEACON),
        certificateOidcIssuer: textOr(file('issuer'), ISSUER),
      }
  const artifact = existsSync(file('artifact')) ? file('artifact') : `${SUITE}a.txt`
  return { bundle: file('bundle.sigstore.json'), artifact, ...trustedRoot, ...signer }
}

function asDigest(path: string): string {
  return `sha256:${createHash('sha256').update(readFileSync(path)).digest('hex')}`
}

const names = existsSync(SUITE)
  ? readdirSync(SUITE, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  : []

suite(
  'sigstore-conformance: verify-bundle',
  {
    skip: names.length === 0 && 'the conformance cases are not on this machine',
  },
  () => {
    for (const name of names) {
      const options = optionsFor(name)
      const expected = name.endsWith('_fail') ? 'refused' : 'accepted'
      for (const [mode, artifact] of [
        ['path', options.artifact],
        ['digest', asDigest(options.artifact)],
      ] as const) {
        test(`${name} (${mode}) is ${expected}`, async () => {
          let said = ''
          const code = await verifyBundleCommand(
            { ...options, artifact },
            { stdout: (text) => (said += text), stderr: (text) => (said += text) },
          )
          assert.equal(code === 0 ? 'accepted' : 'refused', expected, said)
          assert.match(said, /^[^\n]+\n$/)
        })
      }
    }
  },
)
