import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Command } from 'commander'
import { registerPolicyImport } from './policy-import.ts'

const policy = (name: string, spec: string) => `apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: ${name}}
spec: ${spec}
`
const PASS = policy(
  'pass',
  '{images: [{glob: "ghcr.io/acme/app@*"}], authorities: [{static: {action: pass}}]}',
)
const REFUSED = policy(
  'refused',
  '{images: [{glob: "ghcr.io/acme/app:v1"}], authorities: [{static: {action: pass}}]}',
)

type Ended = { readonly code: number; readonly stdout: string; readonly stderr: string }

async function run(...argv: readonly string[]): Promise<Ended> {
  const ended = { code: -1, stdout: '', stderr: '' }
  const program = new Command('portcullis').exitOverride().configureOutput({ writeErr: () => undefined })
  registerPolicyImport(program.command('policy').exitOverride(), {
    stdout: (text) => void (ended.stdout += text),
    stderr: (text) => void (ended.stderr += text),
    env: {},
    exit: (code) => void (ended.code = code),
  })
  await program.parseAsync(['node', 'portcullis', 'policy', 'import', ...argv])
  return ended
}

describe('portcullis policy import', () => {
  let directory: string
  const file = (name: string) => join(directory, name)
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-import-'))
    await writeFile(file('pass.yaml'), PASS)
    await writeFile(file('refused.yaml'), REFUSED)
    await writeFile(file('policy.json'), '{"default": [{"type": "reject"}]}')
    await writeFile(file('large.yaml'), `# ${'x'.repeat(2 * 1024 * 1024)}`)
    await writeFile(file('wrong.yaml'), '{')
  })
  after(async () => rm(directory, { recursive: true, force: true }))

  it('prints policies, with what is to be known of them as comments', async () => {
    const { code, stdout, stderr } = await run(file('pass.yaml'), file('policy.json'))
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(
      stdout,
      /^# ClusterImagePolicy pass of .*pass\.yaml:1\n#   spec\.images\[0\]\.glob: .*\napiVersion: portcullis\.dev\/v1alpha1\n/,
    )
    assert.match(
      stdout,
      /\n---\n# policy\.json of .*\n# The configuration must say:\n#   policies:\n#     unmatched: enforce\n$/,
    )
  })

  it('prints nothing of a set of which anything is refused', async () => {
    const { code, stdout, stderr } = await run(file('pass.yaml'), file('refused.yaml'))
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(
      stderr,
      /^portcullis: .*refused\.yaml:4: spec\.images\[0\]\.glob: found "ghcr\.io\/acme\/app:v1".*\n {2}instead: write ghcr\.io\/acme\/app .*\n$/,
    )
  })

  it('prints the rest with --partial, and still says 1', async () => {
    const { code, stdout } = await run(file('pass.yaml'), file('refused.yaml'), '--partial')
    assert.equal(code, 1)
    assert.match(stdout, /name: pass\n/)
    assert.match(stdout, /# ClusterImagePolicy refused of .* is refused\n/)
  })

  it('prints JSON', async () => {
    const { stdout } = await run(file('refused.yaml'), '--json')
    const { documents } = JSON.parse(stdout) as {
      documents: { refusals: { line: number; instead: string }[] }[]
    }
    assert.equal(documents[0]?.refusals[0]?.line, 4)
    assert.match(documents[0].refusals[0].instead, /^write /)
  })

  it('writes a file for each policy, over none', async () => {
    const out = file('out')
    const first = await run(file('pass.yaml'), '--out', out)
    assert.deepEqual([first.code, first.stdout], [0, `${join(out, 'pass.yaml')}\n`])
    const text = await readFile(join(out, 'pass.yaml'), 'utf8')
    const second = await run(file('pass.yaml'), '--out', out)
    assert.equal(second.code, 3)
    assert.match(second.stderr, /pass\.yaml is there already; --force overwrites it/)
    await writeFile(join(out, 'pass.yaml'), 'changed')
    assert.equal((await run(file('pass.yaml'), '--out', out, '--force')).code, 0)
    assert.equal(await readFile(join(out, 'pass.yaml'), 'utf8'), text)
  })

  it('writes nothing of a set of which anything is refused', async () => {
    const out = file('none')
    assert.equal((await run(file('pass.yaml'), file('refused.yaml'), '--out', out)).code, 1)
    await assert.rejects(readdir(out))
  })

  it('refuses a second policy of a name', async () => {
    const { code, stderr } = await run(file('pass.yaml'), file('pass.yaml'))
    assert.equal(code, 1)
    assert.match(stderr, /metadata\.name: found a second policy that is called "pass"/)
  })

  it('reads the keys that policy.json names', async () => {
    const value = { default: [{ type: 'sigstoreSigned', keyPath: 'no.pub' }] }
    await writeFile(file('keys.json'), JSON.stringify(value))
    await writeFile(file('no.pub'), 'password: hunter2')
    const { code, stderr } = await run(file('keys.json'), '--accept', 'names')
    assert.equal(code, 1)
    assert.match(stderr, /found no PEM block/)
    assert.doesNotMatch(stderr, /hunter2/)
  })

  const unusable = ['large.yaml', 'wrong.yaml', 'missing.yaml']
  for (const name of unusable) {
    it(`${name} cannot be used`, async () => {
      const { code, stdout, stderr } = await run(file('pass.yaml'), file(name))
      assert.deepEqual([code, stdout], [3, ''])
      assert.match(stderr, new RegExp(name.replace('.', '\\.')))
    })
  }

  for (const argv of [
    ['--accept', 'everything'],
    ['--format', 'helm'],
  ]) {
    it(`${argv.join(' ')} is a usage error`, async () => {
      await assert.rejects(run(file('pass.yaml'), ...argv), { code: 'commander.invalidArgument' })
    })
  }
})
