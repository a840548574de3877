import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { Command } from 'commander'
import { bundleJson } from '../testing/cosign-layer.ts'
import { createSigstore, managedSigner } from '../testing/sigstore.ts'
import { IDENTITY, IMAGE, STATEMENT, SUBJECT } from '../testing/verification.ts'
import { registerVerifyBundle } from './verify-bundle.ts'

const directory = mkdtempSync(join(tmpdir(), 'verify-bundle-'))
const path = (name: string): string => join(directory, name)
const PAIR = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })

before(async () => {
  const sigstore = await createSigstore()
  const keyless = sigstore.keyless(IDENTITY)
  const managed = managedSigner(PAIR)
  const files: Readonly<Record<string, string | Buffer>> = {
    root: sigstore.trustedRootJson(),
    artifact: IMAGE,
    other: 'something else',
    statement: bundleJson(await sigstore.dsse(STATEMENT, keyless)),
    message: bundleJson(await sigstore.message(IMAGE, keyless)),
    managed: bundleJson(await sigstore.message(IMAGE, managed)),
    unlogged: bundleJson(await sigstore.message(IMAGE, managed, { log: 0 })),
    untimed: bundleJson(await sigstore.message(IMAGE, managed, { promise: false })),
    key: PAIR.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(path(name), content)
})
after(() => rmSync(directory, { recursive: true }))

async function run(...args: readonly string[]): Promise<{ code: number | undefined; said: string }> {
  let code: number | undefined
  let said = ''
  const write = (text: string): void => {
    said += text
  }
  const program = new Command().exitOverride().configureOutput({ writeErr: write, writeOut: write })
  registerVerifyBundle(program, { stdout: write, stderr: write, exit: (value) => (code = value) })
  await program.parseAsync(['node', 'portcullis', 'verify-bundle', ...args])
  return { code, said }
}

const ROOT = ['--trusted-root', path('root')]
const IDENTITY_OPTIONS = [
  '--certificate-identity',
  IDENTITY.subject,
  '--certificate-oidc-issuer',
  IDENTITY.issuer,
]
const KEY = ['--key', path('key')]

suite('verify-bundle', () => {
  const cases: readonly (readonly [string, number, RegExp, readonly string[]])[] = [
    [
      'a statement about a file',
      0,
      /^verified\n$/,
      ['--bundle', path('statement'), ...IDENTITY_OPTIONS, ...ROOT, path('artifact')],
    ],
    [
      'a statement about a digest',
      0,
      /^verified\n$/,
      ['--bundle', path('statement'), ...IDENTITY_OPTIONS, ...ROOT, SUBJECT],
    ],
    [
      'a signature over a file',
      0,
      /^verified\n$/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, ...ROOT, path('artifact')],
    ],
    [
      'a signature over a digest',
      0,
      /^verified\n$/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, ...ROOT, SUBJECT],
    ],
    ['a key and a file', 0, /^verified\n$/, ['--bundle', path('managed'), ...KEY, ...ROOT, path('artifact')]],
    ['a key and a digest', 0, /^verified\n$/, ['--bundle', path('managed'), ...KEY, ...ROOT, SUBJECT]],
    [
      'another file',
      1,
      /^refused: subject: [^\n]+\n$/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, ...ROOT, path('other')],
    ],
    [
      'another digest',
      1,
      /^refused: subject: /,
      ['--bundle', path('statement'), ...IDENTITY_OPTIONS, ...ROOT, `sha256:${'0'.repeat(64)}`],
    ],
    [
      'part of the identity',
      1,
      /^refused: identity: /,
      [
        '--bundle',
        path('message'),
        '--certificate-identity',
        'https://github.com/o/r',
        '--certificate-oidc-issuer',
        IDENTITY.issuer,
        ...ROOT,
        SUBJECT,
      ],
    ],
    [
      'another issuer',
      1,
      /^refused: identity: issuer/,
      [
        '--bundle',
        path('message'),
        '--certificate-identity',
        IDENTITY.subject,
        '--certificate-oidc-issuer',
        `${IDENTITY.issuer}/`,
        ...ROOT,
        SUBJECT,
      ],
    ],
    [
      'another instance',
      1,
      /^refused: log-entry: /,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, SUBJECT],
    ],
    [
      'an identity where a key signed',
      1,
      /^refused: key: /,
      ['--bundle', path('managed'), ...IDENTITY_OPTIONS, ...ROOT, SUBJECT],
    ],
    [
      'a key where an identity signed',
      1,
      /^refused: key: signed with a certificate/,
      ['--bundle', path('message'), ...KEY, ...ROOT, SUBJECT],
    ],
    ['a key in no log', 1, /^refused: log-entry: /, ['--bundle', path('unlogged'), ...KEY, ...ROOT, SUBJECT]],
    ['a key at no time', 1, /^refused: timestamp: /, ['--bundle', path('untimed'), ...KEY, ...ROOT, SUBJECT]],
    [
      'a bundle that is none',
      1,
      /^refused: malformed: /,
      ['--bundle', path('artifact'), ...IDENTITY_OPTIONS, ...ROOT, SUBJECT],
    ],
    ['no signer', 3, /give --key, or/, ['--bundle', path('message'), ...ROOT, SUBJECT]],
    [
      'an empty identity',
      3,
      /give --key, or/,
      [
        '--bundle',
        path('message'),
        '--certificate-identity',
        '',
        '--certificate-oidc-issuer',
        'x',
        ...ROOT,
        SUBJECT,
      ],
    ],
    [
      'two signers',
      3,
      /not both/,
      ['--bundle', path('message'), ...KEY, ...IDENTITY_OPTIONS, ...ROOT, SUBJECT],
    ],
    [
      'no such bundle',
      3,
      /cannot read the bundle/,
      ['--bundle', path('none'), ...IDENTITY_OPTIONS, ...ROOT, SUBJECT],
    ],
    [
      'no such artifact',
      3,
      /cannot read the artifact/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, ...ROOT, path('none')],
    ],
    [
      'a key that is none',
      3,
      /PEM/,
      ['--bundle', path('managed'), '--key', path('artifact'), ...ROOT, SUBJECT],
    ],
    [
      'a root that is none',
      3,
      /trust root/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, '--trusted-root', path('artifact'), SUBJECT],
    ],
    [
      'the staging instance, which did not certify the signer',
      1,
      /log-entry: no entry of a transparency log that the trust root knows/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, '--staging', SUBJECT],
    ],
    [
      'staging, of which another root is given',
      0,
      /^verified\n$/,
      ['--bundle', path('message'), ...IDENTITY_OPTIONS, '--staging', ...ROOT, SUBJECT],
    ],
  ]
  for (const [name, expected, message, args] of cases) {
    test(`${name}: exit code ${expected}`, async () => {
      const { code, said } = await run(...args)
      assert.match(said, message)
      assert.equal(code, expected)
    })
  }
})
