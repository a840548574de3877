import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { writeStage } from '../demo/configuration.ts'
import { setStage } from '../demo/scenes.ts'
import { createTufRepository, type TufRepository } from '../testing/tuf-repository.ts'
import { startRegistry, type TestRegistry } from '../testing/registry.ts'
import { createSigstore } from '../testing/sigstore.ts'

const MAIN = new URL('../main.ts', import.meta.url).pathname

type Ended = { code: number; stdout: string; stderr: string }

async function portcullis(...argv: readonly string[]): Promise<Ended> {
  const env = { PATH: process.env['PATH'] }
  return await new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...argv], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
    })
  })
}

describe('every level', () => {
  const helped = [
    [],
    ['serve'],
    ['verify'],
    ['verify-bundle'],
    ['demo'],
    ['config'],
    ['config', 'check'],
    ['policy'],
    ['policy', 'test'],
  ]
  for (const command of helped) {
    it(`portcullis ${command.join(' ')} --help`, async () => {
      const { code, stdout } = await portcullis(...command, '--help')
      assert.equal(code, 0)
      assert.match(stdout, /^Usage: portcullis/)
    })
  }

  const misused = [
    ['nonsense'],
    ['serve', '--nonsense'],
    ['verify'],
    ['config', 'nonsense'],
    ['verify', 'UPPER/case'],
  ]
  for (const argv of misused) {
    it(`portcullis ${argv.join(' ')} is a usage error`, async () => {
      const { code, stderr } = await portcullis(...argv)
      assert.equal(code, 3)
      assert.notEqual(stderr, '')
    })
  }
})

describe('with a registry', () => {
  let directory: string
  let registry: TestRegistry
  let tuf: TufRepository
  let trustedRoot: string
  let config: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-cli-'))
    registry = await startRegistry()
    const stage = await setStage(registry, await createSigstore())
    trustedRoot = stage.trustedRoot
    tuf = await createTufRepository({ targets: { 'trusted_root.json': trustedRoot } })
    config = await writeStage(directory, { registry, tuf }, stage)
  })
  after(async () => {
    await tuf.close()
    await registry.stop()
    await rm(directory, { recursive: true, force: true })
  })

  const cases = [
    {
      image: 'shop:v1.4.2',
      code: 0,
      says: /would be served\n  policy shop-releases \(enforce\): satisfied\n.*release\.yml/,
    },
    {
      image: 'shop:nightly',
      code: 1,
      says: /would be refused\n  policy shop-releases \(enforce\): violated\n.*no signature/,
    },
    { image: 'shop:absent', code: 2, says: /404/ },
  ]
  for (const { image, code, says } of cases) {
    it(`verify ${image} exits ${code} and says why`, async () => {
      const ended = await portcullis('verify', `${registry.host}/${image}`, '--config', config)
      assert.equal(ended.code, code, ended.stderr)
      assert.match(ended.stdout + ended.stderr, says)
    })
  }

  it('trust: nothing yet, then fetched, shown, exported; and kept while the mirror is gone', async () => {
    const trust = (...argv: readonly string[]) => portcullis('trust', ...argv, '--config', config)
    const before = await trust('status')
    assert.equal(before.code, 2)
    assert.match(before.stdout, /demo \(tuf, http.*\): unusable, never renewed\n {2}! .*was never had/)
    assert.equal((await trust('export', 'demo')).code, 2)
    assert.deepEqual([(await trust('init')).code, (await trust('init')).stdout], [0, 'nothing is missing\n'])
    await tuf.fault('refused')
    const refused = await trust('refresh')
    assert.equal(refused.code, 2)
    assert.match(refused.stdout, /^demo: .*ECONNREFUSED.*stays as it was/)
    await tuf.fault(undefined)
    assert.equal((await trust('export', 'demo')).stdout, trustedRoot)
    const after = await trust('status', '--json')
    assert.equal(after.code, 0)
    const [source] = JSON.parse(after.stdout).sources
    assert.deepEqual([source.state, source.roles.length], ['fresh', 4])
    assert.match((await trust('refresh', 'nope')).stderr, /found "nope", expected one of demo/)
  })

  it('policy explain says what is demanded, and then what was found', async () => {
    const image = `${registry.host}/shop:nightly`
    const { code, stdout, stderr } = await portcullis('policy', 'explain', image, '--config', config)
    assert.equal(code, 1, stderr)
    assert.match(stdout, /\npolicy shop-releases \(.*\), by .*\n {2}mode enforce: refuses\n {2}needs /)
    assert.match(
      stdout,
      /\n\n.*would be refused\n {2}policy shop-releases \(enforce\): violated\n.*no signature/,
    )
  })

  it('verify --json is the decision', async () => {
    const { stdout } = await portcullis(
      'verify',
      `${registry.host}/shop:nightly`,
      '--config',
      config,
      '--json',
    )
    const decision = JSON.parse(stdout)
    assert.equal(decision.outcome, 'refuse')
    assert.equal(decision.results[0].verdict, 'violated')
    assert.match(decision.message, /^blocked by policy shop-releases: no signature/)
  })

  it('verify of an unreachable registry is undetermined', async () => {
    const gone = await startRegistry()
    await gone.stop()
    const file = join(directory, 'gone.yaml')
    const upstreams = { [gone.host]: { url: gone.url, allowPrivateAddresses: true } }
    await writeFile(file, JSON.stringify({ upstreams, defaultUpstream: null }))
    const { code, stderr } = await portcullis('verify', `${gone.host}/app:v1`, '--config', file)
    assert.equal(code, 2)
    assert.match(stderr, /ECONNREFUSED/)
  })

  it('config check tells what is loaded', async () => {
    const { code, stdout } = await portcullis('config', 'check', '--config', config)
    assert.equal(code, 0)
    assert.match(stdout, /^ok: 1 upstreams; 3 policies \(3 enforce, 0 observe, 0 off\)/)
  })

  it('config check tells everything that is wrong at once, with line and path', async () => {
    const file = join(directory, 'wrong.yaml')
    await writeFile(file, 'listen:\n  data:\n    port: 99999\nlogg: {}\ncache:\n  tagTtl: soon\n')
    const { code, stderr } = await portcullis('config', 'check', '--config', file)
    assert.equal(code, 3)
    for (const part of [
      /wrong\.yaml:3.*listen\.data\.port/,
      /logg.*did you mean log\?/,
      /wrong\.yaml:6.*cache\.tagTtl/,
    ]) {
      assert.match(stderr, part)
    }
  })

  it('serve does not start on a wrong value', async () => {
    const file = join(directory, 'wrong.yaml')
    await writeFile(file, 'dataDirectory: 7\n')
    assert.equal((await portcullis('serve', '--config', file)).code, 3)
  })
})
