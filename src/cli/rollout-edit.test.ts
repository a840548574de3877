import assert from 'node:assert/strict'
import { chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeEdit, prepareEdit } from './rollout-edit.ts'

const POLICY = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: signed }
spec:
  mode: observe
  images: [{ glob: "ghcr.io/acme/**" }]
`

const isRoot = process.getuid?.() === 0

test('whose file it is stays as it was', { skip: !isRoot && 'needs root' }, async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'rollout-edit-'))
  context.after(async () => await rm(directory, { recursive: true }))
  const file = join(directory, 'signed.yaml')
  await writeFile(file, POLICY, { mode: 0o640 })
  await chown(file, 1001, 1002)
  const change = await prepareEdit(directory, { policy: 'signed', ring: 'beta', mode: 'enforce' })
  const before = process.umask(0o077)
  assert.equal('problem' in change ? change.problem : await makeEdit(change), undefined)
  process.umask(before)
  const { uid, gid, mode } = await stat(file)
  assert.deepEqual([uid, gid, mode & 0o777], [1001, 1002, 0o640])
})

test('of two edits of one file at once none undoes the other: the second is told', async (context) => {
  const directory = await mkdtemp(join(tmpdir(), 'rollout-edit-'))
  context.after(async () => await rm(directory, { recursive: true }))
  const file = join(directory, 'signed.yaml')
  await writeFile(file, POLICY)
  const prepare = async (ring: string) => {
    const change = await prepareEdit(directory, { policy: 'signed', ring, mode: 'enforce' })
    return 'problem' in change ? assert.fail(change.problem) : change
  }
  const [beta, prod] = [await prepare('beta'), await prepare('prod')]
  const problems = await Promise.all([makeEdit(beta), makeEdit(prod)])
  const text = await readFile(file, 'utf8')
  assert.deepEqual(
    ['beta', 'prod'].map((ring) => text.includes(`${ring}: enforce`)),
    problems.map((problem) => problem === undefined),
  )
  assert.equal(problems.filter((problem) => problem === undefined).length, 1)
  assert.deepEqual(await readdir(directory), ['signed.yaml'])
})
