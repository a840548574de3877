import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { suite, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey } from '../verify/public-key.ts'
import { bindPolicies } from './bind.ts'
import { loadPolicies, type PolicyLoad } from './load.ts'
import { revocationsFor } from './policy-index.ts'
import { isRecord, problemText } from './problem.ts'
import { revocationJsonSchema } from './revocation-document.ts'
import { revokedBy } from './revocation.ts'
import { builtBy, BUILDER, DIGEST, IMAGE, ISSUER, keyed, keyless, RELEASE } from './testing/revocations.ts'
import type { Revocation } from './types.ts'

const pem = () => generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
const [STOLEN, LOST] = [pem(), pem()]

function idOf(text: string): string {
  const key = readPublicKey(text)
  return 'id' in key ? key.id : assert.fail(key.problem)
}

/** Every field at least once. */
const FULL = `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata:
  name: incident-7
spec:
  reason: the release workflow was taken over
  runbook: https://wiki.example/7
  mode: observe
  rings: { canary: enforce }
  images:
    - glob: ghcr.io/acme/**
  deny:
    - digest: ${DIGEST}
    - identity:
        issuer: ${ISSUER}
        subjectPattern: https://github\\.com/acme/.*
        extensions:
          sourceRepositoryURI: https://github.com/acme/app
      trustRoot: internal
      signedFrom: 2026-11-17T20:00:00Z
      signedUntil: 2026-11-18
    - identity:
        issuerPattern: https://token.*
        subject: ${RELEASE}
    - key: { file: stolen.pub }
    - key: { id: "${idOf(LOST)}" }
    - key:
        data: |
          ${LOST.trim().replaceAll('\n', '\n          ')}
    - builder: { pattern: https://github\\.com/.* }
`

const SMALL = `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata:
  name: incident-7
spec:
  reason: a base image with a backdoor
  deny:
    - digest: ${DIGEST}
`

function load(text: string, more: Readonly<Record<string, string>> = {}): PolicyLoad {
  const files = Object.entries({ 'incident.yaml': text, ...more }).map(([path, one]) => ({ path, text: one }))
  return loadPolicies({
    files,
    keyFiles: new Map([
      ['stolen.pub', STOLEN],
      ['lost.pub', LOST],
      ['other/incident.pub', LOST],
    ]),
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(),
    rings: new Set(['default', 'canary']),
    defaultMode: 'off',
    unmatched: 'observe',
    defaultStance: 'open',
    stanceLimit: undefined,
  })
}

function only(text: string): Revocation {
  const result = load(text)
  if (!result.ok) assert.fail(result.problems.map(problemText).join('\n'))
  const [revocation] = result.set.revocations
  return revocation ?? assert.fail('none is there')
}

function versionOf(text: string): string {
  const result = load(text)
  return result.ok ? result.set.version : assert.fail(result.problems.map(problemText).join('\n'))
}

suite('a revocation document', () => {
  test('in full', () => {
    const revocation = only(FULL)
    const { name, mode, modes, reason, runbook, origin } = revocation
    assert.deepEqual(
      { name, mode, fallback: modes.fallback, canary: modes.byRing.get('canary'), reason, runbook, origin },
      {
        name: 'incident-7',
        mode: 'enforce',
        fallback: 'observe',
        canary: 'enforce',
        reason: 'the release workflow was taken over',
        runbook: 'https://wiki.example/7',
        origin: 'incident.yaml:4',
      },
    )
    const kinds = revocation.denials.map(({ kind }) => kind)
    assert.deepEqual(kinds, ['digest', 'identity', 'identity', 'key', 'key', 'key', 'builder'])
    const [, first, , file, byId, data] = revocation.denials
    assert.deepEqual(first?.kind === 'identity' && [first.trustRoot, first.during], [
      'internal',
      { from: new Date('2026-11-17T20:00:00Z'), until: new Date('2026-11-18T00:00:00Z') },
    ])
    assert.equal(file?.kind === 'key' && file.key?.id, idOf(STOLEN))
    assert.deepEqual(byId?.kind === 'key' && [byId.id, byId.key], [idOf(LOST), undefined])
    assert.equal(data?.kind === 'key' && data.key?.id, idOf(LOST))
  })

  test('is enforced for every image where it says nothing else, whatever the default mode is', () => {
    const revocation = only(SMALL)
    assert.deepEqual([revocation.mode, revocation.modes.byRing.size], ['enforce', 0])
    const result = load(SMALL)
    assert.ok(result.ok)
    for (const name of ['ghcr.io/acme/app', 'docker.io/library/nginx', 'localhost:5000/a/b/c']) {
      assert.equal(revocationsFor(result.set, name).length, 1, name)
      assert.ok(revocation.matches(name))
    }
  })

  test('finds keys relative to its own file', () => {
    const text = SMALL.replace(`digest: ${DIGEST}`, 'key: { file: ../lost.pub }')
    const result = load('', { 'other/incident.yaml': text })
    assert.ok(result.ok)
    const [denial] = result.set.revocations[0]?.denials ?? []
    assert.equal(denial?.kind === 'key' && denial.id, idOf(LOST))
  })

  for (const wide of [
    'issuerPattern: .*',
    'subjectPattern: .*',
    'extensions: { runnerEnvironment: { pattern: .* } }',
  ]) {
    test(`may be as wide as it likes: ${wide}`, () => {
      const { denials } = only(SMALL.replace(`digest: ${DIGEST}`, `identity: { ${wide} }`))
      const revocation = { ...only(SMALL), denials }
      const one = keyless(RELEASE)
      const isWithout = wide.startsWith('extensions')
      // What a certificate does not have is matched by nothing, however wide.
      assert.equal(revokedBy([revocation], { image: IMAGE, verified: [one] }).length, isWithout ? 0 : 1)
    })
  }
})

/** A change of each field, by which another version is told apart. */
const CHANGES: Readonly<Record<string, readonly [from: string, to: string]>> = {
  'metadata.name': ['name: incident-7', 'name: incident-8'],
  'spec.reason': ['taken over', 'taken away'],
  'spec.runbook': ['wiki.example/7', 'wiki.example/8'],
  'spec.mode': ['mode: observe', 'mode: off'],
  'spec.rings': ['canary: enforce', 'default: enforce'],
  'spec.images[].glob': ['ghcr.io/acme/**', 'ghcr.io/acme/*'],
  'spec.deny[].digest': [DIGEST, DIGEST.replace(/.$/, (end) => (end === '0' ? '1' : '0'))],
  'spec.deny[].identity.issuer': [`issuer: ${ISSUER}`, 'issuer: https://gitlab.com'],
  'spec.deny[].identity.issuerPattern': ['https://token.*', 'https://gitlab.*'],
  'spec.deny[].identity.subject': [`subject: ${RELEASE}`, 'subject: mallory@acme.example'],
  'spec.deny[].identity.subjectPattern': ['acme/.*', 'mallory/.*'],
  'spec.deny[].identity.extensions': ['sourceRepositoryURI', 'sourceRepositoryOwnerURI'],
  'spec.deny[].key.id': [`id: "${idOf(LOST)}"`, `id: "${idOf(STOLEN)}"`],
  'spec.deny[].key.file': ['file: stolen.pub', 'file: lost.pub'],
  'spec.deny[].key.data': [LOST.split('\n')[1] ?? '', STOLEN.split('\n')[1] ?? ''],
  'spec.deny[].builder': ['com/.* }', 'com/a.* }'],
  'spec.deny[].trustRoot': ['trustRoot: internal', 'trustRoot: public-good'],
  'spec.deny[].signedFrom': ['T20:00:00Z', 'T20:00:01Z'],
  'spec.deny[].signedUntil': ['signedUntil: 2026-11-18', 'signedUntil: 2026-11-19'],
}

function fieldsOf(schema: unknown, path: string): readonly string[] {
  if (!isRecord(schema)) return []
  if (isRecord(schema['items'])) return fieldsOf(schema['items'], `${path}[]`)
  const properties = schema['properties']
  if (!isRecord(properties) || path.endsWith('extensions')) return [path]
  return Object.entries(properties).flatMap(([name, value]) =>
    fieldsOf(value, path === '' ? name : `${path}.${name}`),
  )
}

suite('every field has an effect', () => {
  test('each of the schema has its case', () => {
    const fields = fieldsOf(revocationJsonSchema(), '').filter((path) => path.includes('.'))
    assert.deepEqual(fields.toSorted(), Object.keys(CHANGES).toSorted())
  })

  for (const [field, [from, to]] of Object.entries(CHANGES)) {
    test(`${field} is part of the version of the set`, () => {
      assert.ok(FULL.includes(from))
      const changed = FULL.replace(from, () => to)
      assert.notEqual(versionOf(changed), versionOf(FULL))
    })
  }

  test('order and spelling are not', () => {
    const denials = FULL.slice(FULL.indexOf('    - key: { file'), FULL.indexOf('    - builder'))
    const moved = FULL.replace(denials, '') + denials
    assert.equal(versionOf(`# a comment\n${moved}`), versionOf(FULL))
    assert.notEqual(versionOf(''), versionOf(SMALL))
  })
})

test('keys and builders of a document are held against evidence as loaded', () => {
  const revocation = { ...only(FULL), mode: 'enforce' } as const
  const hits = [[keyed(idOf(STOLEN))], [keyed(idOf(LOST))], [builtBy(BUILDER, keyed('x'))], [keyed('x')]].map(
    (verified) =>
      revokedBy([revocation], { image: { ...IMAGE, digest: digestOf(Buffer.from('other')) }, verified })
        .length,
  )
  assert.deepEqual(hits, [1, 1, 1, 0])
})

test('while a trust root cannot be used nobody knows what was signed in a window, but all of the rest', () => {
  const denials = [
    'key: { file: stolen.pub }\n      signedFrom: 2026-11-17',
    'builder: x\n      signedFrom: 2026-11-17',
    'key: { file: lost.pub }\n      signedFrom: 2026-11-17\n      trustRoot: internal',
  ]
  const result = load(SMALL.replace(`- digest: ${DIGEST}`, denials.map((one) => `- ${one}`).join('\n    ')))
  assert.ok(result.ok)
  const trust = { roots: new Map(), keys: new Map(), unusable: new Map([['public-good', 'too old']]) }
  const [bound] = bindPolicies(result.set, trust).revocations
  const causes = bound?.denials.map((denial) =>
    'timesUnavailable' in denial ? denial.timesUnavailable : undefined,
  )
  const cause = { dependency: 'trust', message: 'too old' }
  assert.deepEqual(causes, [cause, cause, undefined])
})
