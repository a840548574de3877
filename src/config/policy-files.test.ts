import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { PolicyLoad } from '../policy/load.ts'
import { problemText } from '../policy/problem.ts'
import { loadPolicyDirectory } from './policy-files.ts'

const KEY = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()

function policy(name: string, file: string): string {
  return `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: ${name} }
spec:
  images: [{ glob: ghcr.io/acme/** }]
  authorities: [{ name: ops, key: { file: ${file} } }]
`
}

async function directoryOf(context: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'policies-'))
  context.after(() => rm(directory, { recursive: true }))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text)
  }
  return directory
}

function load(directory: string | undefined): Promise<PolicyLoad> {
  const rules = { defaultMode: 'observe', unmatched: 'observe', defaultStance: 'closed' } as const
  return loadPolicyDirectory({
    policies: directory === undefined ? rules : { ...rules, directory },
    rings: [],
    trust: { roots: new Map([['public-good', { kind: 'public-good' }]]) },
  })
}

function namesOf(result: PolicyLoad): readonly string[] {
  assert.ok(result.ok, result.ok ? '' : result.problems.map(problemText).join('\n'))
  return result.set.policies.map(({ name }) => name)
}

function problemsOf(result: PolicyLoad): string {
  assert.ok(!result.ok)
  return result.problems.map(problemText).join('\n')
}

test('policies and keys of a directory and those below it', async (context) => {
  const directory = await directoryOf(context, {
    'a.yaml': policy('a', 'keys/ops.pub'),
    'team/b.yml': policy('b', '../keys/ops.pub'),
    'keys/ops.pub': KEY,
    'README.md': 'not a policy',
    'c.yaml.bak': 'not a policy',
    '.hidden.yaml': 'not a policy',
  })
  assert.deepEqual(namesOf(await load(directory)), ['a', 'b'])
})

test('no directory is an empty set', async () => assert.deepEqual(namesOf(await load(undefined)), []))

test('a mounted ConfigMap: links to files under a hidden directory are read once', async (context) => {
  const directory = await directoryOf(context, {
    '..2026/a.yaml': policy('a', 'ops.pub'),
    '..2026/ops.pub': KEY,
  })
  await symlink('..2026', join(directory, '..data'))
  await symlink('..data/a.yaml', join(directory, 'a.yaml'))
  await symlink('..data/ops.pub', join(directory, 'ops.pub'))
  assert.deepEqual(namesOf(await load(directory)), ['a'])
})

test('a directory that is not there, or holds no policy, is a problem and not an empty set', async (context) => {
  const directory = await directoryOf(context, { 'ops.pub': KEY })
  assert.match(problemsOf(await load(directory)), /found no policy file/)
  assert.match(problemsOf(await load(join(directory, 'gone'))), /gone: not readable: ENOENT/)
})

test('a policy does not disappear by accident: empty files, and files without a policy, are problems', async (context) => {
  const emptied = await directoryOf(context, { 'a.yaml': '\n', 'b.yaml': policy('b', 'b.pub'), 'b.pub': KEY })
  assert.equal(
    problemsOf(await load(emptied)),
    `${join(emptied, 'a.yaml')}: found an empty file; delete it, or write its policies`,
  )
  const remarks = await directoryOf(context, { 'a.yaml': '# later\n---\n' })
  assert.match(problemsOf(await load(remarks)), /found files without a single policy/)
  const beside = await directoryOf(context, {
    'a.yaml': '# later',
    'b.yaml': policy('b', 'b.pub'),
    'b.pub': KEY,
  })
  assert.deepEqual(namesOf(await load(beside)), ['b'])
})

test('problems name the file as the operator finds it', async (context) => {
  const directory = await directoryOf(context, { 'team/a.yaml': policy('a', 'gone.pub') })
  assert.ok(
    problemsOf(await load(directory)).startsWith(
      `${join(directory, 'team/a.yaml')}:6: spec.authorities[0].key.file`,
    ),
  )
})

test('a link in a circle ends', async (context) => {
  const directory = await directoryOf(context, { 'a.yaml': policy('a', 'ops.pub'), 'ops.pub': KEY })
  await symlink('.', join(directory, 'loop'))
  assert.match(problemsOf(await load(directory)), /nested more than 4 deep/)
})

test('a file of no sensible size is not read', async (context) => {
  const directory = await directoryOf(context, { 'a.yaml': `# ${'x'.repeat(1024 * 1024)}` })
  assert.match(problemsOf(await load(directory)), /a\.yaml has more than 1048576 bytes/)
})

test('the policies that ship as an example load', async () => {
  const directory = new URL('../../config/policies/', import.meta.url)
  assert.notDeepEqual(namesOf(await load(directory.pathname)), [])
})
